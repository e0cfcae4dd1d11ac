//! Passwords and keys, which configuration names and nothing prints.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::Place;

/// Largest secret, in bytes.
const LIMIT: u64 = 64 << 10;
const FILE: &str = "secret://file/";

/// A secret as configuration gives it: a reference `secret://file/PATH`, resolved when it is
/// needed, or the secret itself (from `${env:…}`, say). Debug output and serialization show the
/// reference and never the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Given);

#[derive(Clone, PartialEq, Eq)]
enum Given {
    File(PathBuf),
    Plain(String),
}

/// A resolved secret. It prints as `***`; [`RevealedSecret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct RevealedSecret(String);

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret's file `{path}` cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no regular file, too large or not UTF-8.
    #[error("the secret's file `{path}` {why}")]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// "is empty".
        why: &'static str,
    },
}

impl Secret {
    /// A secret that is no reference.
    pub fn plain(text: impl Into<String>) -> Self {
        Secret(Given::Plain(text.into()))
    }

    /// The file it is read from, relative to the site's folder unless absolute.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Given::File(path) => Some(path),
            Given::Plain(_) => None,
        }
    }

    /// Reads the secret. A relative path starts at the site's folder; one line break at the end of
    /// the file is dropped.
    ///
    /// # Errors
    /// When the file is missing, unreadable, no regular file, empty, over 64 KiB or not UTF-8.
    pub fn resolve(&self, site_folder: &Path) -> Result<RevealedSecret, SecretError> {
        let path = match &self.0 {
            Given::Plain(text) => return Ok(RevealedSecret(text.clone())),
            Given::File(path) => site_folder.join(path),
        };
        let unsuitable = |why| SecretError::Unsuitable { path: path.clone(), why };
        let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unsuitable("is not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() as u64 > LIMIT {
            return Err(unsuitable("is larger than 64 KiB"));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| unsuitable("is not UTF-8 text"))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() {
            return Err(unsuitable("is empty"));
        }
        Ok(RevealedSecret(text))
    }
}

impl SecretError {
    /// The error as a finding at the place where the secret is named.
    pub fn diagnostic(&self, place: Place) -> Diagnostic {
        Diagnostic::new(Code::SecretUnreadable, self.to_string())
            .at(place)
            .help("put the secret in that file, readable by the user that runs the site")
    }
}

impl RevealedSecret {
    /// The secret itself. Keep it out of logs and messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(FILE) {
            if path.is_empty() {
                return Err(format!("the secret names no file\nwrite `{FILE}` and a path"));
            }
            return Ok(Secret(Given::File(PathBuf::from(path))));
        }
        if let Some(rest) = text.strip_prefix("secret:") {
            let kind = rest.trim_start_matches('/').split('/').next().unwrap_or("");
            let help = match did_you_mean(kind, ["file"]) {
                Some(_) => format!("did you mean `{FILE}…`?"),
                None => format!("write `{FILE}` and a path"),
            };
            return Err(format!("only secrets in files are known\n{help}"));
        }
        Ok(Secret(Given::Plain(text.to_owned())))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Given::File(path) => write!(f, "{FILE}{}", path.display()),
            Given::Plain(_) => f.write_str("***"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl fmt::Debug for RevealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevealedSecret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "a secret such as `secret://file/mqtt-password`, relative to the site's folder",
            "examples": ["secret://file/secrets/mqtt-password", "secret://file//run/secrets/mqtt"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_relative_to_the_site() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pass"), "s3cret\n").unwrap();
        let secret: Secret = "secret://file/pass".parse().unwrap();
        assert_eq!(secret.resolve(folder.path()).unwrap().expose(), "s3cret");
        let absolute = format!("secret://file/{}", folder.path().join("pass").display());
        let secret: Secret = absolute.parse().unwrap();
        assert_eq!(secret.resolve(Path::new("/nowhere")).unwrap().expose(), "s3cret");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let plain: Secret = "s3cret".parse().unwrap();
        assert_eq!(format!("{plain:?} {plain}"), "Secret(***) ***");
        assert_eq!(serde_json::to_string(&plain).unwrap(), "\"***\"");
        let revealed = plain.resolve(Path::new("")).unwrap();
        assert_eq!(format!("{revealed:?}"), "RevealedSecret(***)");
        let file: Secret = "secret://file/a".parse().unwrap();
        assert_eq!(file.to_string(), "secret://file/a");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let resolve = |text: &str| text.parse::<Secret>().unwrap().resolve(folder.path());
        assert!(matches!(resolve("secret://file/x"), Err(SecretError::Unreadable { .. })));
        assert!(matches!(resolve("secret://file/."), Err(SecretError::Unsuitable { .. })));
        std::fs::write(folder.path().join("x"), "\n").unwrap();
        assert!(matches!(resolve("secret://file/x"), Err(SecretError::Unsuitable { .. })));
        assert!("secret://vault/x".parse::<Secret>().is_err());
        assert!("secret://file/".parse::<Secret>().is_err());
        assert!("secret:/flie/x".parse::<Secret>().is_err());
    }
}
