//! The schema of all records, committed as `reports/schema.json`. To regenerate it:
//! `POOLPROOF_WRITE_SCHEMA=1 cargo test -p poolproof-report schema`.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use poolproof_records::load;
use poolproof_records::load::overhead::{self, Overhead};
use poolproof_records::load::picker::{self, PickerLoad};
use poolproof_records::load::search::{self, RateSearch};
use poolproof_records::load::sweep::{self, RateSweep};
use poolproof_records::run as record;

/// Builds the schema (JSON Schema, draft 2020-12). A record must match the kind that its `schema` field names.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = [
        (record::SCHEMA, generator.subschema_for::<record::Record>()),
        (load::SCHEMA, generator.subschema_for::<load::Record>()),
        (overhead::SCHEMA, generator.subschema_for::<Overhead>()),
        (search::SCHEMA, generator.subschema_for::<RateSearch>()),
        (sweep::SCHEMA, generator.subschema_for::<RateSweep>()),
        (picker::SCHEMA, generator.subschema_for::<PickerLoad>()),
    ];
    let names = kinds.each_ref().map(|(name, _)| *name);
    let kinds = kinds.map(|(name, schema)| {
        json!({
            "if": {"properties": {"schema": {"const": name}}, "required": ["schema"]},
            "then": schema,
        })
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "records of poolproof",
        "type": "object",
        "required": ["schema"],
        "properties": {"schema": {"enum": names}},
        "allOf": kinds,
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn reports() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports")
    }

    #[test]
    fn the_committed_schema_matches_the_types() {
        let path = reports().join("schema.json");
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("POOLPROOF_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == text,
            "reports/schema.json is not the schema of the types"
        );
    }

    #[test]
    fn every_committed_record_is_valid_and_a_wrong_one_is_invalid() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut seen = 0;
        for folder in std::fs::read_dir(reports()).unwrap() {
            for name in crate::compare::records::FILES {
                let path = folder.as_ref().unwrap().path().join(name);
                let Ok(text) = std::fs::read_to_string(&path) else {
                    continue;
                };
                let mut record: Value = serde_json::from_str(&text).unwrap();
                let errors: Vec<String> = validator
                    .iter_errors(&record)
                    .map(|error| format!("{}: {error}", error.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{}: {errors:?}", path.display());
                // Reading and writing a record changes nothing, whatever its version.
                crate::compare::records::Records::read(&path).unwrap();
                record["seed"] = "one".into();
                assert!(!validator.is_valid(&record));
                seen += 1;
            }
        }
        assert!(seen >= 5, "{seen} records");
        let mut picker = serde_json::to_value(poolproof_records::samples::picker_load()).unwrap();
        assert!(validator.is_valid(&picker));
        picker["rows"][0]["picks"] = "many".into();
        assert!(!validator.is_valid(&picker));
        assert!(!validator.is_valid(&json!({"schema": "poolproof/run/9"})));
    }
}
