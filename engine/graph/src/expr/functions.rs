//! The functions that expressions may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion_functions::{core, datetime, math, regex, string};

/// Functions of DataFusion that give another answer on another day, reach outside the row, or only fill the binary.
/// `repeat` could make a text of any size.
const LEFT_OUT: &[&str] = &[
    "now",
    "current_date",
    "current_time",
    "random",
    "uuid",
    "repeat",
    "arrow_cast",
    "arrow_try_cast",
    "arrow_typeof",
    "arrow_metadata",
    "arrow_field",
    "with_metadata",
    "cast_to_type",
    "try_cast_to_type",
    "struct",
    "named_struct",
    "get_field",
    "union_extract",
    "union_tag",
    "version",
    "regexp_match",
    "to_local_time",
    "factorial",
];

/// The functions that expressions may call, by name. The default are those of SQL that look at one row (mathematics,
/// time, text, regular expressions, conditions) and `k_of_n`.
#[derive(Clone, Debug)]
pub struct Functions {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
}

impl Default for Functions {
    fn default() -> Self {
        let mut functions = Self { by_name: BTreeMap::new() };
        let known = core::functions()
            .into_iter()
            .chain(math::functions())
            .chain(datetime::functions())
            .chain(string::functions())
            .chain(regex::functions());
        for function in known {
            if !LEFT_OUT.contains(&function.name()) {
                functions.add(function);
            }
        }
        functions.add(Arc::new(ScalarUDF::from(KOfN::default())));
        functions
    }
}

impl Functions {
    /// Adds a function under its name and its aliases; one of the same name is replaced. It must give the same result
    /// for the same arguments, at all times.
    pub fn add(&mut self, function: Arc<ScalarUDF>) {
        for alias in function.aliases() {
            self.by_name.insert(alias.to_lowercase(), function.clone());
        }
        self.by_name.insert(function.name().to_lowercase(), function);
    }

    pub fn get(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.by_name.get(name)
    }

    /// Names and aliases, sorted; with the two that the compiler itself answers, `convert` and `min`/`max` of several.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str).chain(["convert", "max", "min"])
    }
}

/// `k_of_n(k, a, b, c, …)`: whether at least k of the conditions are true. Null (a condition that cannot be judged)
/// counts for neither side, and the result is null where it would decide.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KOfN {
    signature: Signature,
}

impl Default for KOfN {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for KOfN {
    fn name(&self) -> &str {
        "k_of_n"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [k, conditions @ ..] = types else {
            return plan_err!("k_of_n needs a number and at least one condition: k_of_n(2, a > 1, b > 1, c > 1)");
        };
        if !k.is_integer() {
            return plan_err!("the first argument of k_of_n must be an integer");
        }
        if conditions.is_empty() {
            return plan_err!("k_of_n needs at least one condition: k_of_n(2, a > 1, b > 1, c > 1)");
        }
        if let Some(at) = conditions.iter().position(|kind| !matches!(kind, DataType::Boolean | DataType::Null)) {
            return plan_err!("argument {} of k_of_n must be true or false", at + 2);
        }
        let mut wanted = vec![DataType::Boolean; types.len()];
        wanted[0] = DataType::Int64;
        Ok(wanted)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((k, conditions)) = arrays.split_first() else {
            return exec_err!("k_of_n was called without arguments");
        };
        let k = k.as_primitive::<Int64Type>();
        let conditions: Vec<&BooleanArray> = conditions.iter().map(|condition| condition.as_boolean()).collect();
        let judge = |row: usize| {
            let row_of = |array: &dyn Array| if array.len() == 1 { 0 } else { row };
            let at = row_of(k);
            if k.is_null(at) {
                return None;
            }
            let needed = k.value(at);
            let (mut met, mut open) = (0, 0);
            for condition in &conditions {
                let at = row_of(*condition);
                if condition.is_null(at) {
                    open += 1;
                } else if condition.value(at) {
                    met += 1;
                }
            }
            if met >= needed {
                Some(true)
            } else if met + open >= needed {
                None
            } else {
                Some(false)
            }
        };
        // Arguments that are all constant have one row, whatever the batch has.
        let rows = if arrays.iter().all(|array| array.len() == 1) { 1.min(rows) } else { rows };
        let judged: BooleanArray = (0..rows).map(judge).collect();
        if rows == 1 && args.number_rows != 1 {
            let value = judged.is_valid(0).then(|| judged.value(0));
            return Ok(ColumnarValue::Scalar(datafusion_common::ScalarValue::Boolean(value)));
        }
        Ok(ColumnarValue::Array(Arc::new(judged)))
    }
}
