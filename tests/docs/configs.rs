//! Every block of YAML is a config and loads; one that is a part of one, over what `<!-- over: CONFIG -->` has.

use bearerd::config::{self, Surroundings};

use crate::markdown::all_blocks;

#[test]
fn every_block_of_yaml_is_a_good_config() {
    let blocks = all_blocks();
    let configs: Vec<_> = blocks.iter().filter(|block| block.language == "yaml").collect();
    assert!(configs.len() >= 6, "only {} were found", configs.len());
    for block in configs {
        let variables = block
            .text
            .split("${env:")
            .skip(1)
            .filter_map(|rest| rest.split_once('}'));
        let env = variables
            .map(|(name, _)| (name.to_owned(), "value".to_owned()))
            .collect();
        let (text, below) = (block.text.clone(), block.note("over").unwrap_or("{}").to_owned());
        let made = rcgen::generate_simple_self_signed(["api.example".into()]).unwrap();
        let authority = made.cert.pem() + &made.signing_key.serialize_pem();
        let surroundings = Surroundings {
            env,
            read: Box::new(move |path| match path.extension().and_then(|end| end.to_str()) {
                Some("yaml") if path.starts_with("below.yaml") => Ok(below.clone().into_bytes()),
                Some("yaml") => Ok(text.clone().into_bytes()),
                Some("pem") => Ok(authority.clone().into_bytes()),
                _ if path.starts_with("/etc/passwd") || path.starts_with("/etc/group") => {
                    Ok(b"erp:x:1001:\ncron:x:1002:\n".to_vec())
                }
                _ => Ok(b"a-secret-of-more-than-thirty-two-characters".to_vec()),
            }),
        };
        let loaded = config::load(&["below.yaml".into(), "bearerd.yaml".into()], &surroundings);
        let loaded = loaded.unwrap_or_else(|faults| panic!("{}:\n{faults}", block.place()));
        // A part, to be laid over others, has no routes of its own.
        let mut warnings = loaded.warnings.iter().map(ToString::to_string);
        let other = warnings.find(|warning| !warning.contains("there are no routes"));
        assert_eq!(other, None, "{}", block.place());
    }
}
