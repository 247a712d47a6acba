//! Variables that were probably meant for the config and are not of it.

use super::Check;
use crate::config::{
    fault::{Fault, Origin},
    layer::PREFIX,
    node::KeyPath,
    raw,
};

/// What such a variable begins with: one underscore of the two.
const STRAY: &str = "BEARERD_";

impl Check<'_> {
    /// Warns of variables that name a section after one underscore: they change nothing.
    pub(super) fn stray_variables(&self) {
        for name in self.surroundings.env.keys() {
            let Some(rest) = name.strip_prefix(STRAY).filter(|_| !name.starts_with(PREFIX)) else {
                continue;
            };
            if rest == "CONFIG" || is_of_a_service(rest) || self.variables.borrow().contains(name) {
                continue;
            }
            let rest = rest.to_lowercase();
            let Some(section) = raw::Config::SECTIONS.iter().find(|section| {
                let after = rest.strip_prefix(**section);
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
