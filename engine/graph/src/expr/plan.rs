//! From a resolved syntax tree to DataFusion's physical expression.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, Operator, ScalarUDF, TableSource, WindowUDF, cast,
};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use datafusion_physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::Expr as Tree;
use ducto_record::Units;

use super::measure::Measure;
use super::resolve::Resolver;
use super::syntax::Text;
use super::{ErrorKind, Expression, ExpressionError, Functions};

pub(super) fn compile(
    source: &str,
    schema: &Schema,
    functions: &Arc<Functions>,
    units: &Arc<Units>,
) -> Result<Expression, ExpressionError> {
    let text = Text { text: source };
    let mut tree = text.parse()?;
    let whole = |kind, error: DataFusionError| text.error(kind, readable(&error));
    let planner = Planner::new(schema, functions).map_err(|error| whole(ErrorKind::Type, error))?;
    let resolver = Resolver { text: Text { text: source }, schema, planner: &planner, units };
    let typed = resolver.resolve(&mut tree)?;
    let (plan, data_type) = planner.physical(tree).map_err(|error| whole(ErrorKind::Type, error))?;

    let mut read: Vec<(usize, String)> =
        collect_columns(&plan).into_iter().map(|column: Column| (column.index(), column.name().to_owned())).collect();
    read.sort();
    let columns: Vec<usize> = read.iter().map(|(index, _)| *index).collect();
    let fields: Vec<Field> = columns.iter().map(|&index| schema.field(index).clone()).collect();
    let input = Arc::new(Schema::new(fields));
    let plan = reassign_expr_columns(plan, &input).map_err(|error| whole(ErrorKind::Type, error))?;
    let unit = match typed.measure {
        Measure::Known(unit) if data_type.is_numeric() => Some(unit),
        _ => None,
    };
    Ok(Expression { text: source.into(), plan, data_type, unit, columns, input })
}

/// Plans parts of one expression against one schema.
pub(super) struct Planner<'a> {
    pub(super) functions: &'a Functions,
    schema: Arc<DFSchema>,
    options: Arc<ConfigOptions>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl<'a> Planner<'a> {
    fn new(schema: &Schema, functions: &'a Functions) -> Result<Self> {
        Ok(Self {
            functions,
            schema: Arc::new(DFSchema::try_from(schema.clone())?),
            options: Arc::new(ConfigOptions::default()),
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            ],
        })
    }

    fn logical(&self, tree: Tree) -> Result<Expr> {
        let options = ParserOptions {
            enable_ident_normalization: false,
            map_string_types_to_utf8view: false,
            ..ParserOptions::default()
        };
        SqlToRel::new_with_options(self, options).sql_to_expr(tree, &self.schema, &mut PlannerContext::new())
    }

    /// The type of a resolved part, or what is wrong with it.
    pub(super) fn data_type(&self, tree: &Tree) -> Result<DataType, String> {
        self.logical(tree.clone())
            .and_then(|expr| expr.get_type(self.schema.as_ref()))
            .map_err(|error| readable(&error))
    }

    fn physical(&self, tree: Tree) -> Result<(Arc<dyn PhysicalExpr>, DataType)> {
        let context = SimplifyContext::builder()
            .with_config_options(self.options.clone())
            .with_schema(self.schema.clone())
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expr = simplifier.coerce(self.logical(tree)?, &self.schema)?;
        let planned = expr.get_type(self.schema.as_ref())?;
        let data_type = result_type(&planned);
        let expr = if data_type == planned { expr } else { cast(expr, data_type.clone()) };
        let expr = simplifier.simplify(expr)?;
        let props = ExecutionProps { config_options: Some(self.options.clone()), ..ExecutionProps::new() };
        let plan = create_physical_expr(&expr, &self.schema, &props, &Default::default())?;
        Ok((overflow_fails(plan)?, data_type))
    }
}

/// Integers that overflow are an error, never another number.
fn overflow_fails(plan: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    plan.transform_up(|node| {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(node)) };
        if !matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) {
            return Ok(Transformed::no(node));
        }
        let checked = BinaryExpr::new(binary.left().clone(), *binary.op(), binary.right().clone());
        Ok(Transformed::yes(Arc::new(checked.with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>))
    })
    .data()
}

/// The few types that leave an expression.
fn result_type(planned: &DataType) -> DataType {
    match planned {
        DataType::Dictionary(_, values) => result_type(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        kind if kind.is_integer() => DataType::Int64,
        kind if kind.is_numeric() => DataType::Float64,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => other.clone(),
    }
}

/// A type as people call it.
pub(super) fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Null => "null",
        DataType::Boolean => "true or false",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Timestamp(..) => "a time",
        DataType::Date32 | DataType::Date64 => "a date",
        DataType::Time32(_) | DataType::Time64(_) => "a time of day",
        DataType::Interval(_) | DataType::Duration(_) => "a duration",
        kind if kind.is_integer() => "an integer",
        kind if kind.is_numeric() => "a number",
        _ => "of a type that expressions do not use",
    }
}

/// The first line of an error, without DataFusion's prefixes.
pub(super) fn readable(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.lines().next().unwrap_or_default();
    const PREFIXES: &[&str] = &[
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer rule 'simplify_expressions' failed",
        "This feature is not implemented: ",
        "Schema error: ",
        "Invalid argument error: ",
        "Compute error: ",
        "Arithmetic overflow: ",
        "Cast error: ",
        "SQL error: ",
        "type_coercion caused by ",
        "Internal error: ",
    ];
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    let text = text.trim_end_matches('.');
    match text {
        "Divide by zero error" => "an integer was divided by zero".to_owned(),
        "" => "the expression cannot be planned".to_owned(),
        other => other.to_owned(),
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("there is no table `{name}`")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
