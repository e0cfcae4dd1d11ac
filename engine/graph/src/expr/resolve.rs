//! Names, forms, types and units of an expression, from the leaves up, so that an error points at the smallest part
//! that is wrong. Names in the tree are rewritten to those of the schema and of the functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Spanned, UnaryOperator, Value, ValueWithSpan,
};
use datafusion_sql::sqlparser::tokenizer::Span;
use ducto_record::{Units, field_unit};

use super::measure::{Measure, Measures, Mismatch};
use super::plan::{Planner, type_name};
use super::syntax::{Text, arguments, children, children_mut, plain, span_of};
use super::types::is_number;
use super::{ErrorKind, ExpressionError};
use crate::diagnostic::did_you_mean;

/// What a part of an expression is.
pub(super) struct Typed {
    pub(super) measure: Measure,
    pub(super) data_type: DataType,
}

pub(super) struct Resolver<'a> {
    pub(super) text: Text<'a>,
    pub(super) schema: &'a Schema,
    pub(super) planner: &'a Planner<'a>,
    pub(super) units: &'a Arc<Units>,
}

const AGGREGATES: &[&str] = &[
    "sum",
    "avg",
    "mean",
    "count",
    "min",
    "max",
    "median",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "var",
    "var_samp",
    "var_pop",
    "variance",
    "first_value",
    "last_value",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "corr",
    "covar_pop",
    "covar_samp",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "regr_slope",
    "grouping",
];

const WINDOWS: &[&str] =
    &["lag", "lead", "row_number", "rank", "dense_rank", "percent_rank", "ntile", "nth_value", "cume_dist"];

/// What a replay would answer in another way.
const CLOCKS: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "today",
    "getdate",
    "sysdate",
    "timeofday",
    "clock_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
];
const CHANCE: &[&str] = &["random", "rand", "uuid", "gen_random_uuid", "newid"];

impl Resolver<'_> {
    pub(super) fn resolve(&self, expr: &mut Expr) -> Result<Typed, ExpressionError> {
        self.form(expr)?;
        if let Expr::Function(function) = expr
            && name_of(function) == "convert"
        {
            return self.convert(expr);
        }
        let mut parts = Vec::new();
        for child in children_mut(expr) {
            parts.push(self.resolve(child)?);
        }
        self.types(expr, &parts)?;
        let measure = self.measure(expr, &parts)?;
        let data_type = self.planner.data_type(expr).map_err(|message| {
            let message = match expr {
                Expr::Function(function) => self.call_message(function, &parts, &message),
                _ => message,
            };
            self.error(ErrorKind::Type, expr, message)
        })?;
        Ok(Typed { measure, data_type })
    }

    /// Is this a form that an expression may have? Names are resolved here.
    fn form(&self, expr: &mut Expr) -> Result<(), ExpressionError> {
        let span = span_of(expr);
        match expr {
            Expr::Identifier(ident) => *ident = self.column(&ident.value, ident.quote_style, ident.span)?,
            Expr::CompoundIdentifier(parts) => {
                let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                *expr = Expr::Identifier(self.column(&name, None, span)?);
            }
            Expr::Value(value) => self.literal(value)?,
            Expr::Function(function) => self.function(function, span)?,
            Expr::UnaryOp { op: UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not, .. } => {}
            Expr::BinaryOp { op, .. } => self.operator(op, span)?,
            Expr::Cast { kind, array: false, format: None, .. } if *kind != CastKind::SafeCast => {}
            Expr::Like { any: false, .. } | Expr::ILike { any: false, .. } | Expr::SimilarTo { .. } => {}
            Expr::Ceil { field, .. } | Expr::Floor { field, .. } if plain(field) => {}
            Expr::Trim { trim_characters: None, .. } => {}
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {}
            Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::Nested(_)
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Case { .. }
            | Expr::Interval(_)
            | Expr::AtTimeZone { .. }
            | Expr::Extract { .. } => {}
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                return Err(self
                    .text
                    .error_at(ErrorKind::Refused, span, "an expression sees one row at a time and cannot hold a SELECT")
                    .with_help("join tables with a transform of type `sql`, and use its columns here"));
            }
            _ => {
                return Err(self
                    .text
                    .error_at(ErrorKind::Refused, span, "this form of SQL cannot stand in an expression")
                    .with_help(
                        "expressions have columns, literals, arithmetic, comparisons, AND/OR/NOT, IN, BETWEEN, LIKE, \
                         CASE, CAST and functions",
                    ));
            }
        }
        Ok(())
    }

    fn column(&self, name: &str, quote: Option<char>, span: Span) -> Result<Ident, ExpressionError> {
        let fields = self.schema.fields();
        let found = match fields.iter().find(|field| field.name() == name) {
            Some(field) => Some(field.name()),
            None => {
                let mut alike = fields.iter().filter(|field| field.name().eq_ignore_ascii_case(name));
                match (alike.next(), alike.next()) {
                    (Some(field), None) => Some(field.name()),
                    _ => None,
                }
            }
        };
        if let Some(found) = found {
            return Ok(Ident { value: found.clone(), quote_style: Some('"'), span });
        }
        let names = || fields.iter().map(|field| field.name().as_str());
        let help = match did_you_mean(name, names()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if quote.is_some() => format!("text is written with single quotes: '{name}'"),
            None if fields.is_empty() => "there are no columns here; only literals can be used".to_owned(),
            None => {
                let mut listed: Vec<&str> = names().take(12).collect();
                if fields.len() > listed.len() {
                    listed.push("…");
                }
                format!("the columns are {}; a text stands in single quotes: '{name}'", listed.join(", "))
            }
        };
        Err(self.text.error_at(ErrorKind::UnknownColumn, span, format!("there is no column `{name}`")).with_help(help))
    }

    fn literal(&self, value: &ValueWithSpan) -> Result<(), ExpressionError> {
        let refuse = |message: String, help: &str| {
            Err(self.text.error_at(ErrorKind::Refused, value.span, message).with_help(help))
        };
        match &value.value {
            Value::Boolean(_) | Value::Null | Value::SingleQuotedString(_) => Ok(()),
            Value::Number(number, false) => match number.parse::<f64>() {
                Ok(parsed) if parsed.is_finite() => Ok(()),
                _ => refuse(format!("`{number}` is no number that float64 can hold"), "the largest is about 1.8e308"),
            },
            Value::Placeholder(name) => {
                refuse(format!("`{name}` is a placeholder"), "parameters of pipelines are written `${name}`")
            }
            other => refuse(
                format!("`{other}` cannot stand in an expression"),
                "write numbers, 'text', TRUE, FALSE, NULL, TIMESTAMP '…' or INTERVAL '…'",
            ),
        }
    }

    fn operator(&self, op: &BinaryOperator, span: Span) -> Result<(), ExpressionError> {
        use BinaryOperator as B;
        match op {
            B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo | B::StringConcat => Ok(()),
            B::Gt | B::Lt | B::GtEq | B::LtEq | B::Eq | B::NotEq | B::And | B::Or => Ok(()),
            B::BitwiseAnd | B::BitwiseOr | B::PGBitwiseShiftLeft | B::PGBitwiseShiftRight => Ok(()),
            B::PGRegexMatch | B::PGRegexIMatch | B::PGRegexNotMatch | B::PGRegexNotIMatch => Ok(()),
            B::BitwiseXor | B::PGExp => Err(self
                .text
                .error_at(ErrorKind::Refused, span, "`^` is not used here, since dialects differ in its meaning")
                .with_help("a power is written `power(x, 2)`")),
            other => Err(self
                .text
                .error_at(ErrorKind::Refused, span, format!("the operator `{other}` cannot stand in an expression"))
                .with_help("operators are + - * / % || = <> < <= > >= AND OR NOT LIKE IN BETWEEN & | << >> ~")),
        }
    }

    fn function(&self, function: &mut Function, span: Span) -> Result<(), ExpressionError> {
        let name = name_of(function);
        let refuse = |message: String, help: &str| {
            Err(self.text.error_at(ErrorKind::Refused, function.name.span(), message).with_help(help))
        };
        if CLOCKS.contains(&name.as_str()) {
            return refuse(
                format!("`{name}` reads a clock, and a replay would give another result"),
                "use the column `time`, or a node with a timer such as `alarm` with `on_delay`",
            );
        }
        if CHANCE.contains(&name.as_str()) {
            return refuse(
                format!("`{name}` gives another result at each call, and a replay could not repeat it"),
                "derive the value from columns of the row",
            );
        }
        if function.over.is_some() || WINDOWS.contains(&name.as_str()) {
            return refuse(
                format!("`{name}` looks at other rows, and an expression sees one row at a time"),
                "use window columns of `align` such as `{of: THP, lag: 1m}`, or `rate_of_change`",
            );
        }
        let count = arguments(function).len();
        let chosen = matches!(name.as_str(), "min" | "max") && count > 1;
        if AGGREGATES.contains(&name.as_str()) && !chosen {
            return refuse(
                format!("`{name}` is an aggregate over many rows, and an expression sees one row at a time"),
                match name.as_str() {
                    "min" => "the least of several columns is `min(a, b)`; over time use `aggregate` or `align`",
                    "max" => "the greatest of several columns is `max(a, b)`; over time use `aggregate` or `align`",
                    _ => "over time use `aggregate`, or window columns of `align` such as `{of: THP, mean: 10m}`",
                },
            );
        }
        let simple = matches!(function.parameters, FunctionArguments::None)
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && !function.uses_odbc_syntax
            && match &function.args {
                FunctionArguments::List(list) => {
                    list.duplicate_treatment.is_none()
                        && list.clauses.is_empty()
                        && list
                            .args
                            .iter()
                            .all(|argument| matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(_))))
                }
                _ => false,
            };
        let known = name == "convert" || chosen || self.planner.functions.get(&name).is_some();
        if !known {
            let help = match did_you_mean(&name, self.planner.functions.names()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "functions are those of SQL that look at one row: abs, round, power, coalesce, greatest, date_trunc, upper, \
                         regexp_like, …"
                    .to_owned(),
            };
            return Err(self
                .text
                .error_at(ErrorKind::UnknownFunction, function.name.span(), format!("there is no function `{name}`"))
                .with_help(help));
        }
        if !simple {
            return Err(self
                .text
                .error_at(ErrorKind::Refused, span, format!("`{name}` takes a plain list of arguments here"))
                .with_help(format!("write `{name}(a, b)`")));
        }
        let name = match name.as_str() {
            "min" => "least".to_owned(),
            "max" => "greatest".to_owned(),
            _ => name,
        };
        function.name =
            ObjectName(vec![ObjectNamePart::Identifier(Ident { span: function.name.span(), ..Ident::new(name) })]);
        Ok(())
    }

    /// `convert(x, 'psig')`: rewritten to the arithmetic that it is.
    fn convert(&self, expr: &mut Expr) -> Result<Typed, ExpressionError> {
        let span = span_of(expr);
        let fail = |kind, message: String| Err(self.text.error_at(kind, span, message));
        let mut arguments = children_mut(expr);
        let [value, target] = arguments.as_mut_slice() else {
            return fail(
                ErrorKind::Type,
                "convert takes a value and the name of a unit: `convert(thp, 'kPa')`".to_owned(),
            );
        };
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(target), span: target_span }) = &**target
        else {
            return fail(
                ErrorKind::Type,
                "the unit of convert is a text in single quotes: `convert(thp, 'kPa')`".to_owned(),
            );
        };
        let Some(to) = self.units.get(target) else {
            let error = self.text.error_at(ErrorKind::Unit, *target_span, format!("unknown unit `{target}`"));
            return Err(match did_you_mean(target, self.units.names()) {
                Some(nearest) => error.with_help(format!("did you mean `{nearest}`?")),
                None => error,
            });
        };
        let typed = self.resolve(value)?;
        let Measure::Known(from_name) = &typed.measure else {
            return fail(
                ErrorKind::Unit,
                "convert needs a value whose unit is known, and this one has none".to_owned(),
            );
        };
        let Some(from) = self.units.get(from_name) else {
            return fail(ErrorKind::Unit, format!("unknown unit `{from_name}`"));
        };
        let conversion = match from.to(to, self.units.atmosphere()) {
            Ok(conversion) => conversion,
            Err(error) => return fail(ErrorKind::Unit, error.to_string()),
        };
        let unit = to.symbol.clone();
        let number = |number: f64| Box::new(Expr::Value(Value::Number(format!("{number:e}"), false).with_span(span)));
        let binary = |left, op, right| Box::new(Expr::BinaryOp { left, op, right });
        let value = Box::new(Expr::Nested(Box::new((**value).clone())));
        let scaled = binary(value, BinaryOperator::Multiply, number(conversion.scale));
        let mut shifted = binary(scaled, BinaryOperator::Plus, number(conversion.offset.abs()));
        if conversion.offset < 0.0
            && let Expr::BinaryOp { op, .. } = &mut *shifted
        {
            *op = BinaryOperator::Minus;
        }
        *expr = Expr::Nested(shifted);
        let data_type =
            self.planner.data_type(expr).map_err(|message| self.text.error_at(ErrorKind::Type, span, message))?;
        Ok(Typed { measure: Measure::Known(unit), data_type })
    }

    fn measure(&self, expr: &Expr, parts: &[Typed]) -> Result<Measure, ExpressionError> {
        let rules = Measures { units: self.units };
        let of = |part: usize| parts.get(part).map_or(Measure::Unknown, |part| part.measure.clone());
        let numeric = || -> Vec<Measure> { parts.iter().map(|part| part.measure.clone()).collect() };
        let mismatch = |mismatch: Mismatch| self.mismatch(expr, &mismatch);
        Ok(match expr {
            Expr::Identifier(ident) => match self.schema.field_with_name(&ident.value).ok().and_then(field_unit) {
                Some(unit) => Measure::Known(unit.into()),
                None => Measure::Unknown,
            },
            Expr::Value(_) | Expr::TypedString(_) => Measure::Number,
            Expr::Nested(_) | Expr::UnaryOp { .. } | Expr::Ceil { .. } | Expr::Floor { .. } => of(0),
            Expr::Cast { .. } => match self.planner.data_type(expr) {
                Ok(kind) if is_number(&kind) => of(0),
                _ => Measure::Unknown,
            },
            Expr::BinaryOp { op, .. } => match op {
                BinaryOperator::Plus => rules.plus(&of(0), &of(1)).map_err(mismatch)?,
                BinaryOperator::Minus => rules.minus(&of(0), &of(1)).map_err(mismatch)?,
                BinaryOperator::Multiply => Measures::times(&of(0), &of(1)),
                BinaryOperator::Divide => Measures::over(&of(0), &of(1)),
                BinaryOperator::Modulo => rules.alike(&numeric()).map_err(mismatch)?,
                BinaryOperator::Gt
                | BinaryOperator::Lt
                | BinaryOperator::GtEq
                | BinaryOperator::LtEq
                | BinaryOperator::Eq
                | BinaryOperator::NotEq => {
                    rules.alike(&numeric()).map_err(mismatch)?;
                    Measure::Unknown
                }
                _ => Measure::Unknown,
            },
            Expr::Between { .. } | Expr::InList { .. } | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => {
                rules.alike(&numeric()).map_err(mismatch)?;
                Measure::Unknown
            }
            Expr::Case { operand, conditions, .. } => {
                let (mut tested, mut given) = (Vec::new(), Vec::new());
                let mut rest = parts.iter().map(|part| part.measure.clone());
                if operand.is_some() {
                    tested.extend(rest.next());
                }
                for _ in conditions {
                    let condition = rest.next();
                    if operand.is_some() {
                        tested.extend(condition);
                    }
                    given.extend(rest.next());
                }
                given.extend(rest.next());
                rules.alike(&tested).map_err(mismatch)?;
                rules.alike(&given).map_err(mismatch)?
            }
            Expr::Function(function) => match name_of(function).as_str() {
                "abs" | "round" | "trunc" | "ceil" | "floor" => of(0),
                "coalesce" | "least" | "greatest" | "nvl" | "ifnull" | "nanvl" | "nullif" => {
                    rules.alike(&numeric()).map_err(mismatch)?
                }
                _ => Measure::Unknown,
            },
            _ => Measure::Unknown,
        })
    }

    fn mismatch(&self, expr: &Expr, mismatch: &Mismatch) -> ExpressionError {
        let Mismatch { left, right } = mismatch;
        let verb = match expr {
            Expr::BinaryOp { op: BinaryOperator::Plus, .. } => "added",
            Expr::BinaryOp { op: BinaryOperator::Minus, .. } => "subtracted",
            Expr::Case { .. } | Expr::Function(_) => "chosen between",
            _ => "compared",
        };
        let convertible = match (self.units.get(left), self.units.get(right)) {
            (Some(left), Some(right)) => left.same_quantity(right),
            _ => false,
        };
        let help = if convertible {
            let second = children(expr).last().map_or_else(|| "x".to_owned(), ToString::to_string);
            format!("convert one of them: `convert({}, '{left}')`", second.replace('"', ""))
        } else {
            format!("`{left}` and `{right}` measure different things; check that the right columns are meant")
        };
        self.error(ErrorKind::Unit, expr, format!("a value in `{left}` and a value in `{right}` cannot be {verb}"))
            .with_help(help)
    }

    fn call_message(&self, function: &Function, parts: &[Typed], message: &str) -> String {
        let name = name_of(function);
        let types: Vec<&str> = parts.iter().map(|part| type_name(&part.data_type)).collect();
        if let Some((_, rest)) = message.split_once("coercion failed with: Error during planning: ") {
            return rest.split(". No function matches").next().unwrap_or(rest).to_owned();
        }
        if message.contains("Candidate functions")
            || message.contains("No function matches")
            || message.contains("coerce")
            || message.contains("signature")
        {
            return format!("`{name}` cannot be called with ({})", types.join(", "));
        }
        format!("`{name}`: {message}")
    }

    pub(super) fn error(&self, kind: ErrorKind, expr: &Expr, message: impl Into<String>) -> ExpressionError {
        // Names were put in quotes when they were resolved; a message shows them as people write them.
        self.text.error_at(kind, span_of(expr), message.into().replace('"', ""))
    }
}

/// The name of a function in lower case.
fn name_of(function: &Function) -> String {
    function
        .name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.to_lowercase())
        .collect::<Vec<_>>()
        .join(".")
}
