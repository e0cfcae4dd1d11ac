//! A site out of its files: fields, templates, assets, tags, connections, then pipelines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use ducto_record::{Asset, AssetId, Reference, TagId, Unit};

use crate::codes::Code;
use crate::decode::{decode_field, decode_items, decode_rest};
use crate::diagnostic::{Alike, Diagnostic, Diagnostics, quoted_list};
use crate::interpolate::{Parameters, interpolate};
use crate::operator::{CheckContext, ConnectionConfig, ConnectionTag};
use crate::registry::{Scope, SectionCheck};
use crate::scalar::Name;
use crate::site::{AssetSettings, ConnectionSettings, ContractDay, SectionValue, Site, TagSettings};
use crate::source::Place;
use crate::tree::{Node, Spanned, shorten};

use super::assembly::Assembly;
use super::assets::{AssetDraft, Assets, Templates};
use super::definition::{Definition, ReadBy, as_any};
use super::fields::SiteFields;
use super::overrides::Overrides;
use super::template::{Connection, Template};
use super::{Loader, site_file};

/// An asset's connection: as decoded, and the fields it was decoded from.
type Connected = (Arc<dyn ConnectionConfig>, Arc<Node>);

/// Most workers of a pipeline.
const WORKER_LIMIT: u16 = 256;

/// The least time between checkpoints, in µs.
const CHECKPOINT_LIMIT: i64 = 100_000;

/// Dimension of a pressure: mass per length and time squared.
const PRESSURE: ducto_record::Dimension = ducto_record::Dimension([-1, 1, -2, 0, 0, 0, 0]);

impl Loader<'_> {
    /// As [`super::load_site`].
    pub fn site(&mut self, path: &Path) -> Option<Arc<Site>> {
        self.site_named(path, None)
    }

    /// As [`Loader::site`]; `named_at` is where the path was written, if it was.
    pub fn site_named(&mut self, path: &Path, named_at: Option<Place>) -> Option<Arc<Site>> {
        let before = self.errors();
        let site = self.site_in_part(path, named_at)?;
        (self.errors() == before).then(|| Arc::new(site))
    }

    /// A site as far as its files can be made out, whatever mistakes are in them.
    pub(super) fn site_in_part(&mut self, path: &Path, named_at: Option<Place>) -> Option<Site> {
        let path = site_file(path);
        let (mut node, files_complete) = self.read_site(&path, named_at)?;
        let templates = node.take("templates").map(|entry| entry.value);
        let sections = self.site_sections(&mut node);
        let fields = self.site_fields(&node);
        let mut site = self.bare_site(&path, &fields, &sections);
        let (templates, broken) = self.all_templates(templates.as_ref(), &site.language);
        let known = Templates { all: &templates, broken: &broken, complete: files_complete };
        let assets = self.assets(&fields.assets, &path, &site.time_zone, known);
        let overrides = self.overrides(&fields.overrides, &path, &templates, &assets);
        let complete = files_complete && broken.is_empty() && !assets.incomplete;
        self.fill(&mut site, &templates, assets, &overrides);
        self.check_sections(&site, &sections);
        self.check_connections(&site);
        let library: Vec<_> = fields.library.iter().map(|folder| self.beside(folder, &path)).collect();
        let drafts = self.used_pipelines(&fields.pipelines, &site.folder, &library);
        let drafts_complete = drafts.iter().all(Option::is_some);
        let drafts = drafts.into_iter().flatten().collect();
        Some(self.check_pipelines(site, drafts, complete && drafts_complete))
    }

    fn beside(&self, path: &Spanned<String>, site: &Path) -> Spanned<std::path::PathBuf> {
        Spanned::new(super::files::parent(self.sources.path(path.place.file), site).join(&path.value), path.place)
    }

    /// The sections of operators, taken out of the site's fields.
    fn site_sections(&mut self, node: &mut Node) -> Vec<(&'static str, Node, SectionValue)> {
        let sections: Vec<_> = self.registry.sections(Scope::Site).cloned().collect();
        let mut found = Vec::new();
        for section in sections {
            if let Some(entry) = node.take(section.name)
                && let Some(value) = (section.decode)(&entry.value, self.diagnostics)
            {
                found.push((section.name, entry.value, value));
            }
        }
        found
    }

    /// The site's fields. With a mistake in one the others are still taken, so that files are looked at all the same.
    fn site_fields(&mut self, node: &Node) -> SiteFields {
        let mut elsewhere: Vec<&str> = self.registry.sections(Scope::Site).map(|section| section.name).collect();
        elsewhere.push("templates");
        if let Some(fields) = decode_rest(node, &elsewhere, self.diagnostics) {
            return fields;
        }
        SiteFields {
            site: decode_field(node, "site").unwrap_or_else(|| Spanned::from(Name::placeholder())),
            tenant: decode_field(node, "tenant"),
            time_zone: decode_field(node, "time_zone").unwrap_or_else(crate::scalar::TimeZone::utc),
            language: decode_field(node, "language").unwrap_or_default(),
            contract_day: decode_field(node, "contract_day").unwrap_or_default(),
            units: decode_field(node, "units").unwrap_or_default(),
            memory: decode_field(node, "memory").unwrap_or(Site::DEFAULT_MEMORY),
            workers: decode_field(node, "workers"),
            checkpoint_every: decode_field(node, "checkpoint_every"),
            library: decode_items(node, "library"),
            include: decode_items(node, "include"),
            assets: decode_items(node, "assets"),
            overrides: decode_items(node, "overrides"),
            pipelines: decode_items(node, "pipelines"),
        }
    }

    fn bare_site(&mut self, path: &Path, fields: &SiteFields, sections: &[(&'static str, Node, SectionValue)]) -> Site {
        let mut site = Site::empty(fields.site.as_str());
        site.tenant = fields.tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
        site.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        site.time_zone = fields.time_zone.clone();
        fields.language.code().clone_into(&mut site.language);
        site.contract_day = ContractDay { start: fields.contract_day.start, named_by: fields.contract_day.named_by };
        site.atmospheric_pressure = self.atmospheric_pressure(fields);
        for (quantity, name) in fields.units.display.iter() {
            if let Some(unit) = self.display_unit(quantity, name) {
                site.display_units.insert(quantity.value.clone(), unit);
            }
        }
        site.memory = fields.memory;
        if let Some(workers) = &fields.workers {
            if !(1..=WORKER_LIMIT).contains(&workers.value) {
                let message = format!("{} is no number of workers", workers.value);
                self.report(Diagnostic::new(Code::NumberOutOfRange, message).at(workers.place).help(format!(
                    "write a number from 1 to {WORKER_LIMIT}; one for each core is the most that helps"
                )));
            }
            site.workers = workers.value.clamp(1, WORKER_LIMIT).into();
        }
        if let Some(every) = &fields.checkpoint_every {
            if every.micros() < CHECKPOINT_LIMIT {
                let message = format!("checkpoints every {} would be all that the site does", every.value);
                let help = "write `100ms` or more; the default is `5m`";
                self.report(Diagnostic::new(Code::NumberOutOfRange, message).at(every.place).help(help));
            }
            site.checkpoint_every = every.value;
        }
        site.sections = sections.iter().map(|(name, _, value)| (*name, value.clone())).collect();
        site
    }

    fn display_unit(&mut self, quantity: &Spanned<String>, name: &Spanned<String>) -> Option<Unit> {
        let unit = self.registry.unit(name).cloned();
        let unit = self.diagnostics.take(unit);
        let units = self.registry.units();
        let Some(dimension) = units.quantity(quantity) else {
            self.report(
                Diagnostic::new(Code::ChoiceUnknown, format!("there is no quantity `{}`", shorten(quantity)))
                    .at(quantity.place)
                    .help(format!("known: {}", quoted_list(&units.quantities().collect::<Vec<_>>())))
                    .suggest(quantity, units.quantities()),
            );
            return None;
        };
        let unit = unit?;
        if unit.dimension != dimension {
            let message = format!("`{}` is no unit of `{}`", **name, **quantity);
            let fitting: Vec<&str> =
                units.all().filter(|unit| unit.dimension == dimension).map(|unit| &*unit.symbol).take(8).collect();
            self.report(
                Diagnostic::new(Code::DisplayUnit, message)
                    .at(name.place)
                    .help(format!("such units are {}", quoted_list(&fitting))),
            );
            return None;
        }
        Some(unit)
    }

    fn atmospheric_pressure(&mut self, fields: &SiteFields) -> Option<f64> {
        let quantity = fields.units.atmospheric_pressure.as_ref()?;
        let wrong = |message: String| {
            Diagnostic::new(Code::ValueInvalid, message)
                .at(quantity.place)
                .help("write an absolute pressure with its unit, `14.0 psia`")
        };
        let Some(name) = &quantity.value.unit else {
            self.report(wrong("the atmospheric pressure has no unit".to_owned()));
            return None;
        };
        let unit = self.registry.unit(&Spanned::new(name.clone(), quantity.place)).cloned();
        let unit = self.diagnostics.take(unit)?;
        if unit.dimension != PRESSURE || matches!(unit.reference, Reference::Gauge | Reference::Differential) {
            self.report(wrong(format!("`{name}` is no unit of absolute pressure")));
            return None;
        }
        let pascal = quantity.value.value * unit.scale + unit.offset;
        // The highest mines and the deepest valleys lie well inside.
        if !(30_000.0..=150_000.0).contains(&pascal) {
            self.report(wrong(format!("`{}` is no pressure of the air", quantity.value)));
            return None;
        }
        Some(pascal)
    }

    /// All templates, and the names of those that have mistakes.
    fn all_templates(&mut self, node: Option<&Node>, language: &str) -> (Vec<Template>, HashSet<String>) {
        let Some(node) = node else { return Default::default() };
        let templates = self.templates(node, language);
        let broken = node
            .entries()
            .iter()
            .map(|entry| &entry.key.value)
            .filter(|name| !templates.iter().any(|template| template.name.value == **name))
            .cloned()
            .collect();
        (templates, broken)
    }

    /// Assets, tags and connections.
    fn fill(&mut self, site: &mut Site, templates: &[Template], assets: Assets, overrides: &Overrides) {
        let mut assembly = Assembly::new();
        let mut shared: HashMap<(usize, usize), Definition> = HashMap::new();
        let mut shared_connections: HashMap<usize, Option<Connected>> = HashMap::new();
        for (index, draft) in assets.drafts.into_iter().enumerate() {
            let template = &templates[draft.template];
            let mut parameters = Parameters::new().with_environment(self.environment);
            for (name, value) in &draft.parameters {
                parameters.insert(name.clone(), value.clone());
            }
            parameters.insert("asset", Node::text(draft.name.place, draft.name.as_str()));
            let connection = self.connection(&draft, template, &parameters, &mut shared_connections);
            let id = assembly.directory.asset(Asset {
                name: draft.name.as_str().into(),
                kind: template.kind.clone(),
                columns: draft.columns.clone(),
            });
            let read_by = match (&template.connection, &connection) {
                (Connection::None, _) => ReadBy::Nothing,
                (_, None) => ReadBy::Unknown,
                (_, Some((config, _))) => ReadBy::Connection(&**config),
            };
            let mut ids = Vec::with_capacity(template.tags.len());
            for (number, tag) in template.tags.iter().enumerate() {
                let settings = overrides.get(&(index, number)).map_or(&[][..], Vec::as_slice);
                let own = draft.settings.iter().filter(|(variable, _)| **variable == *tag.variable);
                let settings: Vec<_> = own.map(|(_, setting)| setting).chain(settings).collect();
                let common = !tag.inserts && settings.is_empty();
                let definition = if common {
                    match shared.get(&(draft.template, number)) {
                        Some(definition) => definition.clone(),
                        None => {
                            let definition = self.definition(tag.node.clone(), read_by, &site.language);
                            shared.insert((draft.template, number), definition.clone());
                            definition
                        }
                    }
                } else {
                    let mut node = tag.node.clone();
                    if tag.inserts {
                        interpolate(&mut node, &parameters, self.diagnostics);
                    }
                    self.check_unit_settings(&node, &settings);
                    for setting in settings {
                        if let Err(diagnostic) = setting.apply(&mut node) {
                            self.report(diagnostic);
                        }
                    }
                    self.definition(node, read_by, &site.language)
                };
                let name = Spanned::new(format!("{}.{}", draft.name.value, tag.variable), tag.place);
                ids.push(assembly.tag(
                    name,
                    Some(id),
                    &tag.variable,
                    &definition,
                    connection.as_ref().map(|(c, _)| &**c),
                ));
            }
            if let (Some((config, definition)), Connection::Template(of), true) =
                (connection, &template.connection, draft.enabled)
            {
                site.connections.push(ConnectionSettings {
                    asset: draft.name.as_str().into(),
                    operator: of.operator,
                    config,
                    definition,
                    place: of.place,
                    tags: ids.clone(),
                });
            }
            assembly.assets.push(asset_settings(draft, id, ids));
        }
        assembly.finish(site);
    }

    /// The connection of an asset, decoded once for all where the asset's parameters do not matter.
    fn connection(
        &mut self,
        draft: &AssetDraft,
        template: &Template,
        parameters: &Parameters<'_>,
        shared: &mut HashMap<usize, Option<Connected>>,
    ) -> Option<Connected> {
        let Connection::Template(of) = &template.connection else { return None };
        if !of.inserts
            && let Some(config) = shared.get(&draft.template)
        {
            return config.clone();
        }
        let mut node = of.node.clone();
        // A disabled asset need not have an address yet.
        let missing = draft.parameters.values().any(Node::is_null);
        if of.inserts {
            if missing {
                return None;
            }
            interpolate(&mut node, parameters, self.diagnostics);
        }
        let config = (of.decode)(&node, self.diagnostics).map(|config| (config, Arc::new(node)));
        if !of.inserts {
            shared.insert(draft.template, config.clone());
        }
        config
    }

    /// Sections of the site and of tags, looked at with the whole site at hand; of tags with one definition the first.
    fn check_sections(&mut self, site: &Site, sections: &[(&'static str, Node, SectionValue)]) {
        for (name, node, value) in sections {
            if let Some(section) = self.registry.section(Scope::Site, name) {
                let check = SectionCheck { section: as_any(value), node, tag: None, site, registry: self.registry };
                (section.check)(&check, self.diagnostics);
            }
        }
        self.check_tag_sections(site);
    }

    pub(super) fn check_tag_sections(&mut self, site: &Site) {
        // Tags with one definition are looked at once; with overrides some have another.
        let mut index: HashMap<*const BTreeMap<&'static str, SectionValue>, usize> = HashMap::new();
        let mut groups: Vec<Vec<&TagSettings>> = Vec::new();
        for tag in site.tags.iter().filter(|tag| !tag.sections.is_empty()) {
            let at = *index.entry(Arc::as_ptr(&tag.sections)).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.push(tag),
                None => groups.push(vec![tag]),
            }
        }
        let mut alike = Alike::default();
        for group in groups {
            let Some(tag) = group.first().copied() else { continue };
            let mut found = Diagnostics::new();
            for (name, value) in tag.sections.iter() {
                if let (Some(section), Some(node)) = (self.registry.section(Scope::Tag, name), tag.definition.get(name))
                {
                    let check =
                        SectionCheck { section: as_any(value), node, tag: Some(tag), site, registry: self.registry };
                    (section.check)(&check, &mut found);
                }
            }
            if !found.is_empty() {
                alike.add(&group.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), found);
            }
        }
        alike.finish("tag", self.diagnostics);
    }

    fn check_connections(&mut self, site: &Site) {
        let mut alike = Alike::default();
        for connection in &site.connections {
            let tags: Vec<ConnectionTag<'_>> = connection
                .tags
                .iter()
                .filter_map(|id| site.tag(*id))
                // One whose definition is no mapping is reported already.
                .filter(|tag| tag.connection_fields.place != Place::NOWHERE)
                .map(|tag| ConnectionTag { tag, fields: &tag.connection_fields })
                .collect();
            let mut found = Diagnostics::new();
            let mut cx = CheckContext {
                registry: self.registry,
                site,
                owner: &connection.asset,
                node: connection.operator,
                place: connection.place,
                diagnostics: &mut found,
            };
            connection.config.check(&tags, &mut cx);
            alike.add(&[&connection.asset], found);
        }
        alike.finish("asset", self.diagnostics);
    }
}

fn asset_settings(draft: AssetDraft, id: AssetId, tags: Vec<TagId>) -> AssetSettings {
    AssetSettings {
        name: draft.name,
        id,
        template: Some(draft.template_name),
        parameters: draft.parameters,
        enabled: draft.enabled,
        from: draft.from,
        until: draft.until,
        tags,
    }
}
