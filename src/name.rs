//! The names that an operator gives to things: `[a-z0-9_]`, at most 63 characters.
//!
//! They are labels in metrics and words in log lines, so they are short, plain and never secret.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest name, in characters: the length of a DNS label, so that a name can become one.
pub const MAX_LENGTH: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name is empty")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("a name has at most 63 characters")]
    TooLong,
    /// A character outside `[a-z0-9_]`.
    #[error("a name is made of a-z, 0-9 and _, and this one has '{0}'")]
    Character(char),
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(odd) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
        return Err(NameError::Character(odd));
    }
    if text.len() > MAX_LENGTH {
        return Err(NameError::TooLong);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// A listener's name.
    ListenerName
);
name!(
    /// A route's name.
    RouteName
);
name!(
    /// An upstream's name.
    UpstreamName
);
name!(
    /// A credential's name.
    CredentialName
);
name!(
    /// The name of one of a listener's callers.
    CallerName
);
name!(
    /// The name of one of a credential's steps.
    StepName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_underscores() {
        assert_eq!("erp_2".parse::<RouteName>().unwrap().as_str(), "erp_2");
        assert_eq!("".parse::<RouteName>(), Err(NameError::Empty));
        assert_eq!("Erp".parse::<RouteName>(), Err(NameError::Character('E')));
        assert_eq!("a-b".parse::<RouteName>(), Err(NameError::Character('-')));
        assert_eq!("a".repeat(64).parse::<RouteName>(), Err(NameError::TooLong));
    }
}
