//! The demo site as the binary carries it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Where the template says that the device is.
pub(super) const ADDRESS: &str = "127.0.0.1:5020";

const FILES: [(&str, &str); 4] = [
    ("site.yaml", include_str!("../../site-configs/demo/site.yaml")),
    ("templates/esp-well.yaml", include_str!("../../site-configs/demo/templates/esp-well.yaml")),
    ("wells.csv", include_str!("../../site-configs/demo/wells.csv")),
    ("overrides.csv", include_str!("../../site-configs/demo/overrides.csv")),
];

/// Writes the site, with the device at this address.
pub(super) fn write(folder: &Path, address: SocketAddr) -> io::Result<()> {
    for (name, text) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text.replace(&format!("tcp://{ADDRESS}"), &format!("tcp://{address}")))?;
    }
    Ok(())
}
