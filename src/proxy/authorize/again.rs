//! How a request can be sent a second time.

use bytes::Bytes;
use http::{Method, Request, request::Parts};

use super::{
    form, inject,
    kept::{self, Keeper},
    spare::Spare,
};
use crate::{credential::placement::Injection, proxy::ProxyError, upstream::Body};

/// What is kept of a request's body.
pub(super) enum Kept {
    /// It streams, and its beginning is kept.
    Streaming(Keeper),
    /// It is a form that is held, and the credential is a field of it.
    Form(Bytes),
}

impl Kept {
    /// What is kept of the body, and the body for the first attempt.
    pub(super) async fn new(head: &Parts, body: Body, rewrites_forms: bool) -> Result<(Self, Body), ProxyError> {
        if rewrites_forms && form::takes(&head.method, &head.headers, &body)? {
            let form = Box::pin(form::hold(&head.headers, body)).await?;
            return Ok((Self::Form(form), Body::default()));
        }
        Ok(Self::streaming(body))
    }

    /// The same of a body that is no form, or of one that the credential doesn't go into.
    pub(super) fn streaming(body: Body) -> (Self, Body) {
        let (first, keeper) = kept::keep(body);
        (Self::Streaming(keeper), first)
    }

    /// Puts the credential into a request.
    fn inject(
        &self,
        mut head: Parts,
        mut body: Body,
        injection: Option<&Injection>,
    ) -> Result<Request<Body>, ProxyError> {
        match (self, injection) {
            (_, None) => {}
            (Self::Form(form), Some(Injection::Form { name, pair })) => {
                body = inject::into_form(&mut head, form, name, pair)?;
            }
            (_, Some(injection)) => inject::into_head(&mut head, injection)?,
        }
        Ok(Request::from_parts(head, body))
    }
}

/// What is kept of a request that has been sent.
pub(super) struct Again {
    /// Without the credential.
    head: Spare,
    body: Kept,
}

impl Again {
    /// The first attempt, with this credential in it; and what others are made from.
    pub(super) fn first(
        head: Parts,
        kept: Kept,
        body: Body,
        injection: Option<&Injection>,
    ) -> Result<(Self, Request<Body>), ProxyError> {
        let again = Self {
            head: Spare::of(&head),
            body: kept,
        };
        let request = again.body.inject(head, body, injection)?;
        Ok((again, request))
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        self.head.method()
    }

    /// The body for one more attempt; `None` if it is too large or breaks off.
    pub(super) async fn body(&self) -> Option<Body> {
        match &self.body {
            Kept::Streaming(keeper) => keeper.whole().await,
            Kept::Form(_) => Some(Body::default()),
        }
    }

    /// One more attempt, with this credential in it.
    pub(super) fn request(&self, body: Body, injection: Option<&Injection>) -> Result<Request<Body>, ProxyError> {
        self.body.inject(self.head.head()?, body, injection)
    }
}
