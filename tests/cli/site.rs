//! A small site on disk.

use std::path::{Path, PathBuf};

use crate::command::Background;
use crate::device::Device;

pub(crate) struct TestSite {
    folder: tempfile::TempDir,
}

impl TestSite {
    /// One well behind a device on this port.
    pub(crate) fn new(port: u16) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.write(
            "site/site.yaml",
            "\
site: TEST-001
language: es
time_zone: America/Bogota
include: [templates.yaml]
assets: [wells.csv]
pipelines:
  - {use: well-monitoring}
",
        );
        site.write(
            "site/templates.yaml",
            &format!(
                "\
templates:
  rtu:
    kind: well
    parameters: {{unit_id: {{type: integer}}}}
    connection: {{type: modbus, endpoint: \"tcp://127.0.0.1:{port}\", unit_id: \"${{unit_id}}\", addressing: 40001, scan: 200ms}}
    tags:
      THP: {{address: 40001, as: f32, unit: psig, span: [0, 5000], description: {{es: Presión de cabeza}}, alarms: {{H: {{limit: 2500, deadband: 50}}}}}}
      CHP: {{address: 40003, as: f32, unit: psig}}
"
            ),
        );
        site.write("site/wells.csv", "asset;template;unit_id;area\nWELL-001;rtu;1;NORTE\n");
        site
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The folder that commands run in; the site is `site` in it.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data/TEST-001")
    }
}

/// A site that runs, with the device that it reads.
pub(crate) struct Live {
    pub(crate) device: Device,
    pub(crate) site: TestSite,
    pub(crate) running: Background,
}

pub(crate) fn start() -> Live {
    let device = Device::start();
    let site = TestSite::new(device.port());
    let mut running = Background::start(site.path(), &["run", "site"]);
    running.line("Ctrl-C");
    Live { device, site, running }
}
