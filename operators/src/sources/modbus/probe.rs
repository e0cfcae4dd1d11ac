//! Devices looked at while no site reads them: which units answer, what the tags read now, and what registers hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_graph::site::{ConnectionSettings, Site, TagSettings};
use jiff::Timestamp;
use modbus::client::Error;
use modbus::{Client, Exception, Holes, Item, Limits, Options, Plan, Request, Response, Table};

use super::suggest::{Image, Layout, Subject, Survey};
use super::{Modbus, TagReading, read_once};

/// The connections of a site that share an endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `tcp://10.0.0.5:502`.
    pub name: String,
    pub members: Vec<Member>,
}

/// One asset's connection.
#[derive(Clone, Debug)]
pub struct Member {
    pub asset: Arc<str>,
    /// Index of the asset in the site.
    pub index: usize,
    pub template: Option<Arc<str>>,
    pub connection: ConnectionSettings,
    pub tags: Vec<Arc<TagSettings>>,
}

impl Member {
    fn config(&self) -> Option<&Modbus> {
        Modbus::of(&*self.connection.config)
    }

    pub fn unit(&self) -> u8 {
        self.config().map_or(0, Modbus::unit_id)
    }
}

/// What is wanted of a survey.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Readings of each register; 0 reads the tags' values alone.
    pub samples: usize,
    /// Time between them.
    pub every: Duration,
}

/// What an endpoint gave.
#[derive(Debug)]
pub struct Answered {
    pub endpoint: Endpoint,
    /// Why there is no connection.
    pub error: Option<String>,
    /// In the order of the members.
    pub members: Vec<MemberAnswer>,
}

#[derive(Debug, Default)]
pub struct MemberAnswer {
    /// In the order of the member's tags.
    pub readings: Vec<TagReading>,
    pub image: Image,
    /// Why the unit gave nothing.
    pub error: Option<String>,
    /// When the tags were read.
    pub time: Option<Timestamp>,
}

impl MemberAnswer {
    /// Whether the unit answered anything, an exception too.
    pub fn answers(&self) -> bool {
        self.error.is_none()
    }
}

/// The endpoints of a site's Modbus connections, with the assets that `takes` chooses.
pub fn endpoints(site: &Site, takes: impl Fn(&ConnectionSettings) -> bool) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for connection in site.connections.iter().filter(|connection| takes(connection)) {
        if Modbus::of(&*connection.config).is_none() {
            continue;
        }
        let index = site.assets.iter().position(|asset| asset.name.as_str() == &*connection.asset).unwrap_or_default();
        let template =
            site.assets.get(index).and_then(|asset| asset.template.as_ref()).map(|name| name.as_str().into());
        let tags = connection.tags.iter().filter_map(|id| site.tag(*id).cloned()).collect();
        let member = Member { asset: connection.asset.clone(), index, template, connection: connection.clone(), tags };
        let name = connection.config.endpoint();
        match endpoints.iter_mut().find(|endpoint| endpoint.name == name) {
            Some(endpoint) => endpoint.members.push(member),
            None => endpoints.push(Endpoint { name, members: vec![member] }),
        }
    }
    endpoints
}

/// Reads an endpoint: each tag once, and then its registers as often as is wanted.
pub async fn read(endpoint: Endpoint, wanted: Wanted) -> Answered {
    let members: Vec<MemberAnswer> = endpoint.members.iter().map(|_| MemberAnswer::default()).collect();
    let mut answered = Answered { endpoint, error: None, members };
    let Some(first) = answered.endpoint.members.first().and_then(Member::config) else { return answered };
    let mut client = match open(first).await {
        Ok(client) => client,
        Err(error) => {
            answered.error = Some(error);
            return answered;
        }
    };
    for (member, answer) in answered.endpoint.members.iter().zip(&mut answered.members) {
        let Some(config) = member.config() else { continue };
        if !client.is_open() {
            // A device that closes the connection is no reason to leave the others behind it.
            match open(config).await {
                Ok(again) => client = again,
                Err(error) => {
                    answer.error = Some(error);
                    continue;
                }
            }
        }
        if let Err(error) = alive(&mut client, config).await {
            answer.error = Some(error.to_string());
            continue;
        }
        answer.readings = read_once(&mut client, config, &member.tags).await;
        answer.time = Some(Timestamp::now());
    }
    let sampler =
        |member: &Member| member.config().map(|config| Sampler::new(&layouts(config, &member.tags), config.limits()));
    let mut samplers: Vec<Option<Sampler>> = answered.endpoint.members.iter().map(sampler).collect();
    for number in 0..wanted.samples {
        if number > 0 {
            tokio::time::sleep(wanted.every).await;
        }
        let members = answered.endpoint.members.iter().zip(&mut answered.members);
        for ((member, answer), sampler) in members.zip(&mut samplers) {
            let (Some(sampler), Some(config)) = (sampler.as_mut().filter(|_| answer.answers()), member.config()) else {
                continue;
            };
            if let Err(error) = sampler.read(&mut client, config, &mut answer.image).await {
                tracing::debug!(asset = &*member.asset, %error, "registers were not read");
            }
        }
    }
    answered
}

/// Opens the endpoint, or else the second one.
async fn open(config: &Modbus) -> Result<Client, String> {
    let mut why = "the endpoint cannot be read; `ducto check` says why".to_owned();
    for endpoint in config.endpoints() {
        match Client::open(&endpoint, config.options()).await {
            Ok(client) => return Ok(client),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// As patient as this connection is, whoever the endpoint is shared with.
async fn ask(client: &mut Client, config: &Modbus, request: &Request) -> Result<Response, Error> {
    client.request_within(config.unit_id(), request, config.options().response_timeout).await
}

fn layouts(config: &Modbus, tags: &[Arc<TagSettings>]) -> Vec<Layout> {
    let points = tags.iter().filter_map(|tag| config.point(tag)?.ok());
    let points = points.filter(|point| point.item.table != Table::LongRegisters);
    points.map(|point| Layout { item: point.item, kind: point.kind, order: point.order }).collect()
}

/// Asks a unit for anything. An exception is an answer, unless a gateway gives it in place of the unit.
async fn alive(client: &mut Client, config: &Modbus) -> Result<(), Error> {
    match ask(client, config, &Request::read(Table::HoldingRegisters, 0, 1)).await {
        Ok(_) => Ok(()),
        Err(Error::Exception { exception, .. }) if !is_gateways(exception) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a gateway says that there is no such unit.
fn is_gateways(exception: Exception) -> bool {
    matches!(exception, Exception::GatewayPathUnavailable | Exception::GatewayTargetFailedToRespond)
}

/// Whether a device may say so of registers that it does not have.
fn refuses(exception: Exception) -> bool {
    matches!(exception, Exception::IllegalDataAddress | Exception::IllegalDataValue | Exception::DeviceFailure)
}

/// A unit that answers.
#[derive(Clone, Debug)]
pub struct Found {
    pub unit: u8,
    pub round_trip: Duration,
    /// What stands at the beginning of each table, or why nothing does.
    pub tables: Vec<(Table, Result<Vec<u16>, String>)>,
}

/// Asks a unit, and if it answers for what stands at the beginning of each table.
///
/// # Errors
/// Why it does not answer.
pub async fn probe(client: &mut Client, unit: u8, count: u16) -> Result<Found, Error> {
    let began = Instant::now();
    let first = client.request(unit, &Request::read(Table::HoldingRegisters, 0, 1)).await;
    let round_trip = began.elapsed();
    match first {
        Ok(_) => {}
        Err(Error::Exception { exception, .. }) if !is_gateways(exception) => {}
        Err(error) => return Err(error),
    }
    let mut tables = Vec::new();
    for table in [Table::HoldingRegisters, Table::InputRegisters, Table::DiscreteInputs, Table::Coils] {
        tables.push((table, beginning(client, unit, table, count).await));
    }
    Ok(Found { unit, round_trip, tables })
}

/// The first registers of a table, as many as there are up to `count`.
async fn beginning(client: &mut Client, unit: u8, table: Table, count: u16) -> Result<Vec<u16>, String> {
    let mut asked = count.max(1);
    loop {
        match client.request(unit, &Request::read(table, 0, asked)).await {
            Ok(response) if table.is_bits() => return Ok(response.bits().iter().map(|bit| u16::from(*bit)).collect()),
            Ok(response) => return Ok(response.registers().to_vec()),
            // Fewer may be there.
            Err(Error::Exception { exception: Exception::IllegalDataAddress, .. }) if asked > 1 => asked /= 2,
            Err(Error::Exception { exception, .. }) => return Err(exception.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Opens an endpoint that no site describes.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(endpoint: &modbus::Endpoint, options: Options) -> Result<Client, Error> {
    Client::open(endpoint, options).await
}

/// Reads the registers of tags with those beside them, as far as the device has them.
struct Sampler {
    slots: Vec<Slot>,
    limits: Limits,
}

/// What is read for one tag: its window, or what the device gives of it.
struct Slot {
    layout: Layout,
    items: Vec<Item>,
}

impl Sampler {
    fn new(layouts: &[Layout], limits: Limits) -> Self {
        let windows = Survey::windows(layouts, limits);
        let slots = layouts.iter().zip(windows).map(|(layout, item)| Slot { layout: *layout, items: vec![item] });
        Self { slots: slots.collect(), limits }
    }

    async fn read(&mut self, client: &mut Client, config: &Modbus, image: &mut Image) -> Result<(), Error> {
        image.begin();
        let mut open: Vec<(usize, Item)> = self
            .slots
            .iter()
            .enumerate()
            .flat_map(|(slot, of)| of.items.iter().map(move |item| (slot, *item)))
            .collect();
        // Each round reads what an earlier one was refused, more narrowly.
        while !open.is_empty() {
            let items: Vec<Item> = open.iter().map(|(_, item)| *item).collect();
            let plan = Plan::new(&items, self.limits, &Holes::new());
            let mut refused: Vec<usize> = plan.refused.iter().map(|(index, _)| *index).collect();
            let mut reads = plan.reads;
            while let Some(read) = reads.pop() {
                match ask(client, config, &read.request()).await {
                    Ok(response) => {
                        let range = read.range;
                        if range.table.is_bits() {
                            let bits: Vec<u16> = response.bits().iter().map(|bit| u16::from(*bit)).collect();
                            image.store(range.table, range.offset, &bits);
                        } else {
                            image.store(range.table, range.offset, response.registers());
                        }
                    }
                    Err(Error::Exception { exception, .. }) if refuses(exception) => match read.bisect(&items) {
                        Some((left, right)) => reads.extend([right, left]),
                        None => refused.extend(&read.items),
                    },
                    Err(Error::Exception { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let refused: Vec<(usize, Item)> =
                refused.into_iter().filter_map(|index| open.get(index).copied()).collect();
            open = refused.into_iter().flat_map(|(slot, item)| self.narrower(slot, item)).collect();
        }
        Ok(())
    }

    /// What to read instead of an item that was refused.
    fn narrower(&mut self, slot: usize, refused: Item) -> Vec<(usize, Item)> {
        let Some(Slot { layout, items }) = self.slots.get_mut(slot) else { return Vec::new() };
        let own = layout.item;
        items.retain(|item| *item != refused);
        let instead = match refused.count - own.count {
            // With both neighbours: perhaps one of them is there.
            2 => vec![Item { count: own.count + 1, ..refused }, Item { count: own.count + 1, ..own }],
            // With one: the tag alone, where nothing else reads it.
            1 if items.is_empty() => vec![own],
            _ => Vec::new(),
        };
        items.extend(&instead);
        instead.into_iter().map(|item| (slot, item)).collect()
    }
}

/// What endpoints gave, for an examination.
pub fn survey(answered: &[Answered]) -> Survey {
    let mut survey = Survey::default();
    for answer in answered {
        // Assets of one unit share its registers.
        let mut devices: Vec<(u8, usize)> = Vec::new();
        for (member, of) in answer.endpoint.members.iter().zip(&answer.members) {
            let Some(config) = member.config() else { continue };
            let device = match devices.iter().find(|(unit, _)| *unit == member.unit()) {
                Some((_, device)) => *device,
                None => {
                    survey.images.push(Image::default());
                    devices.push((member.unit(), survey.images.len() - 1));
                    survey.images.len() - 1
                }
            };
            if let Some(image) = survey.images.get_mut(device) {
                image.merge(&of.image);
            }
            for tag in &member.tags {
                let Some(Ok(point)) = config.point(tag) else { continue };
                survey.subjects.push(Subject {
                    tag: tag.clone(),
                    device,
                    asset: member.index,
                    template: member.template.clone(),
                    layout: Layout { item: point.item, kind: point.kind, order: point.order },
                    conversion: point.conversion,
                    addressing: config.addressing(),
                });
            }
        }
    }
    survey
}
