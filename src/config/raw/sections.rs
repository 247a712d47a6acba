//! A config's sections by name, without the schema, which is large and made for editors.

use super::Config;

impl Config {
    /// The names of its sections.
    pub const SECTIONS: [&str; 10] = [
        "listeners",
        "probes",
        "admin",
        "state",
        "tls",
        "credentials",
        "upstreams",
        "routes",
        "log",
        "traces",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_are_those_of_the_schema() {
        let schema = crate::config::schema();
        let sections = schema["properties"].as_object().unwrap();
        assert!(sections.keys().eq(Config::SECTIONS.iter()));
    }
}
