//! Variables that were probably meant for the config and are not of it.

use std::collections::BTreeSet;

use super::Check;
use crate::config::{
    fault::{Fault, Origin},
    layer::PREFIX,
    node::KeyPath,
};

/// What such a variable begins with: one underscore of the two.
const STRAY: &str = "BEARERD_";

impl Check<'_> {
    /// Warns of variables that name a section after one underscore: they change nothing.
    pub(super) fn stray_variables(&self) {
        let mut sections = None;
        for name in self.surroundings.env.keys() {
            let Some(rest) = name.strip_prefix(STRAY).filter(|_| !name.starts_with(PREFIX)) else {
                continue;
            };
            if rest == "CONFIG" || is_of_a_service(rest) || self.variables.borrow().contains(name) {
                continue;
            }
            let rest = rest.to_lowercase();
            // The schema knows every section; it is made where there is something to ask it.
            let sections: &BTreeSet<String> = sections.get_or_insert_with(sections_of_the_schema);
            let Some(section) = sections.iter().find(|section| {
                let after = rest.strip_prefix(section.as_str());
                after.is_some_and(|after| after.is_empty() || after.starts_with('_'))
            }) else {
                continue;
            };
            self.warnings.borrow_mut().push(Fault {
                origin: Origin::Variable(name.clone()),
                path: KeyPath::default(),
                message: "this variable changes nothing: two underscores stand between keys".into(),
                hint: Some(format!("write {PREFIX}{}__…", section.to_uppercase())),
            });
        }
    }
}

/// Whether it is what Kubernetes and Docker links set for a service whose name begins with `bearerd`.
fn is_of_a_service(rest: &str) -> bool {
    rest.contains("SERVICE_HOST") || rest.contains("SERVICE_PORT") || rest.split('_').any(|word| word == "PORT")
}

fn sections_of_the_schema() -> BTreeSet<String> {
    let schema = crate::config::schema();
    let sections = schema.get("properties").and_then(serde_json::Value::as_object);
    sections.map_or_else(BTreeSet::new, |sections| sections.keys().cloned().collect())
}
