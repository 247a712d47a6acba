//! How a request can be sent a second time.

use bytes::Bytes;
use http::{Request, request::Parts};

use super::{
    form, inject,
    kept::{self, Keeper},
};
use crate::{credential::placement::Injection, proxy::ProxyError, upstream::Body};

/// What is kept of a request's body.
pub(super) enum Again {
    /// It streams, and its beginning is kept.
    Kept(Keeper),
    /// It is a form that is held, and the credential is a field of it.
    Form(Bytes),
}

impl Again {
    /// What is kept of the body, and the body for the first attempt.
    pub(super) async fn new(parts: &Parts, body: Body, rewrites_forms: bool) -> Result<(Self, Body), ProxyError> {
        if rewrites_forms && form::takes(&parts.method, &parts.headers, &body)? {
            let form = Box::pin(form::hold(&parts.headers, body)).await?;
            return Ok((Self::Form(form), Body::default()));
        }
        Ok(Self::streaming(body))
    }

    /// The same of a body that is no form, or of one that the credential doesn't go into.
    pub(super) fn streaming(body: Body) -> (Self, Body) {
        let (first, keeper) = kept::keep(body);
        (Self::Kept(keeper), first)
    }

    /// The body for one more attempt; `None` if it is too large or breaks off.
    pub(super) async fn body(&self) -> Option<Body> {
        match self {
            Self::Kept(keeper) => keeper.whole().await,
            Self::Form(_) => Some(Body::default()),
        }
    }

    /// One attempt: a copy of `parts` with this credential in it, which takes the place of an earlier one's.
    pub(super) fn request(
        &self,
        parts: &mut Parts,
        mut body: Body,
        injection: Option<&Injection>,
    ) -> Result<Request<Body>, ProxyError> {
        match (self, injection) {
            (_, None) => {}
            (Self::Form(form), Some(Injection::Form { name, pair })) => {
                body = inject::into_form(parts, form, name, pair)?;
            }
            (_, Some(injection)) => inject::into_head(parts, injection)?,
        }
        Ok(Request::from_parts(parts.clone(), body))
    }
}
