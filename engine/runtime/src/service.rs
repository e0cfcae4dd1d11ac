//! Which assets are in service: `from` and `until` of the tables of assets.

use ducto_graph::operator::Intake;
use ducto_graph::site::{AssetSettings, Site};
use ducto_record::{Micros, Origin, Part, Quality, Samples, Value};

/// Whether an asset is in service at a time.
fn in_service(asset: &AssetSettings, now: Micros) -> bool {
    asset.from.is_none_or(|from| from.micros() <= now) && asset.until.is_none_or(|until| now < until.micros())
}

/// Whether a connection of this asset is to be opened.
pub(crate) fn is_read(site: &Site, asset: &str, now: Micros) -> bool {
    let settings = site.directory.asset_id(asset).and_then(|id| site.assets.get(id as usize));
    settings.is_none_or(|asset| in_service(asset, now))
}

/// One sample of each tag of the assets that are not in service, which says so, and is the last of them.
pub(crate) fn announce(site: &Site, now: Micros, intake: &dyn Intake) {
    for connection in &site.connections {
        if is_read(site, &connection.asset, now) {
            continue;
        }
        tracing::info!(asset = %connection.asset, "not in service, so it is not read");
        for tag in connection.tags.iter().filter_map(|id| site.tag(*id)) {
            let samples = Samples::single(now, tag.id, &Value::Null, tag.kind, Quality::OUT_OF_SERVICE);
            let part = Part::Samples { origin: Origin::Field, samples };
            if let Err(error) = intake.offer_waiting(part) {
                tracing::warn!(tag = %*tag.name, %error, "that a tag is out of service could not be told");
            }
        }
    }
    let coming = |time: Option<ducto_graph::scalar::Timestamp>| time.filter(|time| time.micros() > now);
    for asset in &site.assets {
        if let Some(change) = coming(asset.from).into_iter().chain(coming(asset.until)).min() {
            tracing::warn!(
                asset = %*asset.name,
                at = %change,
                "an asset enters or leaves service then; it takes effect when the site is started after that time"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducto_graph::scalar::Timestamp;
    use ducto_graph::tree::Spanned;

    #[test]
    fn service_begins_with_from_and_ends_before_until() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let mut asset = AssetSettings {
            name: Spanned::from("W".to_owned()),
            id: 0,
            template: None,
            parameters: Default::default(),
            enabled: true,
            from: at("2026-01-01T00:00:00Z"),
            until: at("2026-02-01T00:00:00Z"),
            tags: Vec::new(),
        };
        let is = |asset: &AssetSettings, text: &str| in_service(asset, at(text).map_or(0, Timestamp::micros));
        assert!(!is(&asset, "2025-12-31T23:59:59Z"));
        assert!(is(&asset, "2026-01-01T00:00:00Z"));
        assert!(is(&asset, "2026-01-31T23:59:59Z"));
        assert!(!is(&asset, "2026-02-01T00:00:00Z"));
        (asset.from, asset.until) = (None, None);
        assert!(is(&asset, "1990-01-01T00:00:00Z"));
    }
}
