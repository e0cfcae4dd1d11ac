//! `ducto explain`: why a tag is as it is.

use ducto_graph::diagnostic::suggestion;
use ducto_graph::explain::explain;

use crate::cli::ExplainArgs;
use crate::load::Loading;
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &ExplainArgs, output: &Output) -> Result<Exit, Failure> {
    let mut loading = Loading::new();
    let site = loading.site(&args.site, output)?;
    let Some(explanation) = explain(&site, &loading.sources, &args.tag) else {
        let names = site.directory.tags().iter().map(|tag| &*tag.name);
        let help =
            suggestion(&args.tag, names).unwrap_or_else(|| "`ducto query \"SELECT tag FROM tags\"` lists them".into());
        return Err(Failure::new(Exit::Usage, format!("site `{}` has no tag `{}`; {help}", site.name, args.tag)));
    };
    if output.is_json() {
        output.object(&explanation.json());
    } else {
        output.print(&explanation.text());
    }
    Ok(Exit::Done)
}
