//! The closed list of diagnostic codes.
//!
//! A code is stable: scripts, editors and support notes refer to it. A code that is no longer
//! given is left in the list, and its number is never used for anything else. `E` is an error,
//! `W` a warning; the first two digits say what it is about: 01 syntax and files, 02 names and
//! references, 03 types, units and columns, 04 tables, 05 limits of size.

use std::fmt;

/// Whether a finding stops the configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, and probably does not do what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($id:ident $name:ident $meaning:literal;)*) => {
        /// What a diagnostic is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!("`", stringify!($id), "`: ", $meaning)] $name,)*
        }

        impl Code {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as printed, `E0106`.
            pub fn id(self) -> &'static str {
                match self { $(Code::$name => stringify!($id),)* }
            }

            /// One line that says what the code means.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    E0101 FileMissing "a file that is named does not exist";
    E0102 FileIsDirectory "a directory stands where a file is expected";
    E0103 FileNotText "a file is not text in the expected encoding";
    E0104 FileUnreadable "a file exists and cannot be read";
    E0106 YamlSyntax "the text is not valid YAML";
    E0108 DuplicateKey "a key appears twice in one mapping";
    E0109 MultipleDocuments "a file holds more than one YAML document";
    E0110 TabIndentation "a tab is used where YAML allows only spaces";
    E0111 AliasUnknown "an alias names no anchor that was completed before it";
    E0112 KeyNotText "a mapping key is not a plain name";
    E0113 TagUnknown "a YAML tag is not one of the core schema";
    E0114 MergeNotMapping "`<<` is given something other than a mapping";
    E0116 ParameterSyntax "a `${…}` is not closed or holds no valid name";
    E0117 SecretUnreadable "a secret's file cannot be used";
    E0118 JsonSyntax "the text is not valid JSON";
    E0119 TomlSyntax "the text is not valid TOML";
    E0120 ExpressionSyntax "an expression is no SQL expression";

    E0201 FieldUnknown "a field is not one of those that can stand here";
    E0202 ChoiceUnknown "a value is not one of the accepted names";
    E0203 ParameterUnknown "a `${…}` names no declared parameter";
    E0204 EnvironmentMissing "an environment variable is not set";
    E0205 EnvironmentRefused "`${env:…}` stands outside a site file";
    E0206 UnitUnknown "a unit is not one of those known";
    E0220 ExpressionColumnUnknown "an expression names a column that is not there";
    E0221 ExpressionFunctionUnknown "an expression calls a function that does not exist";
    E0240 AlarmClassUnknown "an alarm's class is none of the site's";
    E0241 AlarmTypeUnknown "an alarm's name says no type, and none is given";
    E0242 TagOfAssetUnknown "a tag that a setting names is not there";
    E0250 OperatorUnknown "a `type` is not one of those that can stand here";
    E0251 InputUnknown "an input names no node of the pipeline";
    E0252 PortUnknown "an input names a port that the node does not have";
    E0253 InputsMisplaced "`inputs` stand where nothing is read, or name a node that gives nothing";
    E0254 Cycle "nodes feed each other in a circle";
    E0255 NameTaken "two things have one name";
    E0256 NameReserved "a name has a meaning of its own here";
    E0257 TemplateUnknown "an asset names no template of the site";
    E0258 SiteTagUnknown "a tag is not one of the site's";
    E0259 PipelineUnknown "no pipeline of this name is found";
    E0260 DatasetUnknown "no node stores the dataset that is read";
    E0261 DatasetShared "two nodes, or two inputs of one, store one tag in one dataset";
    E0262 PublishMisplaced "`publish` stands on a node that gives no rows";
    E0263 PublishAmbiguous "several rows would be published as one tag";
    E0264 PublishEndless "published tags depend on themselves without end";
    E0265 SettingNotScalar "a single value would replace a mapping, or a field is set inside a single value";
    E0266 GivenTwice "something that can be given once is given twice";
    E0267 PlaceholderUnknown "a `{…}` in a published name is not one of those known";
    E0268 DatasetSettings "two nodes store one dataset and do not agree on how long or how often";
    E0269 FileShared "two nodes write one file";
    E0270 ClocksMixed "recordings and connections, whose clocks differ, feed one site";
    E0271 SubjectUnknown "an action is about something that no node has";
    E0280 SimulatedUnknown "a scenario names a well, a separator or a measurement that it does not have";

    E0301 TypeMismatch "a value is of another type than the one expected";
    E0302 ValueInvalid "a value does not have the form or meaning expected";
    E0303 FieldMissing "a required field is missing";
    E0304 NumberOutOfRange "a number is outside the range allowed";
    E0305 LengthWrong "a list has another length than the one expected";
    E0306 ParameterNotScalar "a list or mapping is inserted into a text";
    E0320 ExpressionRefused "an expression uses SQL that cannot stand in one";
    E0321 ExpressionType "the types in an expression do not fit together";
    E0322 ExpressionUnit "the units in an expression do not fit together";
    E0323 ColumnRepeated "two columns of a node have one name";
    E0324 ColumnKind "a column is of another type than it is used for";
    E0325 UnitsDiffer "tags of one column have units that do not convert";
    E0340 LimitUnit "a limit's unit measures something else than the tag";
    E0341 KindUnfit "a check or an alarm stands on a tag whose kind of value it cannot judge";
    E0342 LimitOrder "the limits of a tag's alarms are not in order";
    E0343 HeldSamples "a node that holds samples back stands before one that must see them at once";
    E0344 StreamUnfit "a node is given another kind of stream than it takes";
    E0345 AlarmSettings "the settings of an alarm do not fit its type";
    E0346 UnitReplaced "a table gives a tag a unit of another quantity than its template does";
    E0348 DisplayUnit "a unit measures something else than the quantity that is to be shown in it";
    E0349 SettingsContradict "two settings contradict each other";
    E0350 RangeReversed "the lower end of a range is not below its upper end";
    E0351 PublishColumn "a column that is to be published is not there or cannot be a tag";
    E0352 PublishKeyMissing "rows that are to be published do not say of which asset or tag they are";
    E0353 DatasetMixed "one dataset would hold rows of different columns";
    E0370 ConditionNotBoolean "a condition gives something other than true or false";
    E0371 StreamRefused "a sink does not take the stream that comes";
    E0372 DatasetNameInvalid "a dataset's name makes no folder, needs quotes in SQL, or is that of another table";
    E0373 AddressInvalid "an address cannot be read, or lies outside its table";
    E0374 AddressOverlap "two values of several registers lie on each other";
    E0375 ScalingInvalid "a scale, range or sentinel does not go with its type";
    E0376 EndpointInvalid "an endpoint cannot be read";
    E0377 OrderUnfit "an order of bytes is for values of another length";
    E0380 EndpointShared "connections that share an endpoint say different things of it";
    E0390 UnitUnfit "the unit of a number measures something else than what it is given for";

    E0401 TableEmpty "a table has no header row";
    E0402 ColumnDuplicate "two columns of a table have one name";
    E0403 ColumnUnnamed "a column with cells has no name";
    E0404 RowRagged "a row has another number of cells than the header";
    E0405 QuoteUnbalanced "a quoted CSV field is not closed where it should be";
    E0407 WorkbookUnreadable "a file is not a readable XLSX workbook";
    E0408 SheetMissing "a workbook has no sheet of the name given";
    E0409 CellError "a cell holds a spreadsheet error such as `#REF!`";
    E0410 NumberAmbiguous "a number reads two ways until `decimal:` is declared";
    E0411 DateAmbiguous "a date reads two ways until `dates:` is declared";
    E0412 CellNotNumber "a cell is not a number";
    E0413 CellNotInteger "a cell is not an integer";
    E0414 CellNotDate "a cell is not a date";
    E0415 CellNotBoolean "a cell is not yes or no";
    E0420 ColumnMissing "a table lacks a column that it needs";
    E0421 CellEmpty "a cell that must have a value is empty";

    E0430 RecordingUnreadable "a recorded file is not what its name says";
    E0431 RecordingRefused "no row of a recorded file can be read";

    E0501 FileTooLarge "a file is larger than its kind may be";
    E0502 NestingTooDeep "values are nested too deeply";
    E0503 TooManyNodes "a file has too many values once its aliases are expanded";
    E0504 WorkbookTooLarge "a workbook is too large once it is unpacked";
    E0505 TableTooLarge "a table has too many cells";
    E0506 TooManyErrors "the rest of a value was not checked because of its many errors";
    E0520 ExpressionTooLarge "an expression is too long or nested too deeply";
    E0521 StateTooLarge "what a node keeps does not fit into the memory of the site";
    E0530 TooManyParts "a file defines more of something than is taken";

    W0101 IncludeEmpty "a pattern of files to include matches none";

    W0201 OutputUnused "nothing reads what a node gives";
    W0202 NamesAlike "two names differ in small and capital letters only";
    W0270 SelectionEmpty "a condition on tags is true for none";

    W0340 LimitOutsideSpan "a limit lies where the sensor cannot measure";
    W0346 UnitWithoutRanges "a table changes the unit of a tag and leaves ranges or limits that were written in another";
    W0370 AddressShared "several tags read one address";
    W0380 PollBudgetExceeded "the scans over an endpoint need more requests than its budget allows";
    W0381 WaitLongerThanScan "waiting for a device that does not answer takes longer than a scan of others on its line";

    W0401 ColumnsWithoutName "cells stand to the right of the last named column";
    W0430 RowsRejected "rows of a recorded file are left out";

    W0521 CorrectionsShortened "what late samples are weighed against does not fit into memory for as long as `cutoff`";
}

impl Code {
    /// Error or warning, as the first letter says.
    pub fn severity(self) -> Severity {
        if self.id().starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Code;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut numbers = HashSet::new();
        for code in Code::ALL {
            let id = code.id();
            assert!(numbers.insert(id), "{id} is used twice");
            let (letter, digits) = id.split_at(1);
            assert!(letter == "E" || letter == "W", "{id}");
            assert_eq!(digits.len(), 4, "{id}");
            let area: u32 = digits[..2].parse().unwrap();
            assert!((1..=5).contains(&area), "{id}");
            assert!(digits[2..].parse::<u32>().unwrap() > 0, "{id}");
            assert!(!code.meaning().is_empty());
        }
    }

    #[test]
    fn codes_are_listed_in_order() {
        let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted(), "keep codes.rs sorted");
    }
}
