//! Opening a dataset: what a crash left is finished or undone.

use crate::dataset::DatasetConfig;
use crate::error::StorageError;
use crate::files;
use crate::folder::DataFolder;
use crate::manifest::Manifest;

pub(crate) fn open(folder: &DataFolder, config: &DatasetConfig) -> Result<Manifest, StorageError> {
    files::create_folder(&folder.dataset(&config.name))?;
    files::create_folder(&folder.staging(&config.name))?;
    let manifest = match Manifest::load(folder.path(), &config.name)? {
        Some(mut manifest) => {
            manifest.adopt_schema(&config.schema)?;
            manifest
        }
        None => Manifest::new(&config.name, &config.schema),
    };
    Ok(manifest)
}
