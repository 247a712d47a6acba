//! Whom a token is for: the parts of a credential's subject.

use super::{Check, entries};
use crate::{
    config::{
        fault::suggestion,
        node::KeyPath,
        param::Params,
        raw::{self, Field, Text},
        resolve::Allowed,
    },
    credential::spec::SubjectPart,
    template::Scope,
};

impl Check<'_> {
    /// The names of the subject's parts, and where each stands in a request; `None` for these comes with a fault.
    pub(super) fn subject(
        &self,
        raw: &raw::Credential,
        params: Option<&Params<'_>>,
        at: &KeyPath,
    ) -> (Vec<String>, Option<Vec<SubjectPart>>) {
        const ALLOWED: Allowed<'static> = Allowed {
            scopes: &[Scope::Header, Scope::Path],
            tokens: &[],
            subject: &[],
        };
        let at = at.key("subject");
        let declared: Option<Vec<(&str, &str)>> = params.map(|params| params.preset.subject());
        let given = entries(&raw.subject);
        let names: Vec<String> = match &declared {
            Some(declared) if !declared.is_empty() => declared.iter().map(|(name, _)| (*name).to_owned()).collect(),
            _ => given.iter().map(|(name, _)| name.clone()).collect(),
        };
        if let (Some(declared), Some(params)) = (&declared, params)
            && !declared.is_empty()
        {
            for (name, _) in given.iter().filter(|(name, _)| !names.contains(name)) {
                self.fault_at_key(
                    &at.key(name),
                    format!("the subject of preset {} has no part of that name", params.preset.name),
                    suggestion(name, names.iter().map(String::as_str)),
                );
            }
            for (name, about) in declared
                .iter()
                .filter(|(name, _)| !given.iter().any(|(given, _)| given == name))
            {
                self.fault_at_key(
                    &at,
                    format!(
                        "preset {} needs the part `{name}` of its subject: {about}",
                        params.preset.name
                    ),
                    Some(format!(
                        "say where requests have it: `subject: {{ {name}: \"${{header:…}}\" }}` or `\"${{path:…}}\"`"
                    )),
                );
            }
        }
        let mut parts = Some(Vec::new());
        for name in &names {
            let Some((_, field)) = given.iter().find(|(given, _)| given == name) else {
                parts = None;
                continue;
            };
            let from = match field {
                Field::Given(Text(text)) => self.resolve(text, &at.key(name), ALLOWED, None).template(),
                _ => None,
            };
            match (from, &mut parts) {
                (Some(from), Some(parts)) => parts.push(SubjectPart {
                    name: name.clone(),
                    from,
                }),
                _ => parts = None,
            }
        }
        (names, parts)
    }
}
