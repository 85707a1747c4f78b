//! The password of sudo, which is looked up only when a host asks for it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::failure::Failure;
use crate::resource::Secret;

/// A password, or what finds it.
#[derive(Clone)]
pub struct SudoPassword {
    find: Arc<dyn Fn() -> Result<Secret, Failure> + Send + Sync>,
    found: Arc<OnceLock<Result<Secret, Failure>>>,
}

impl SudoPassword {
    /// A password that is found by `find` when it is first needed.
    pub fn found_by(find: impl Fn() -> Result<Secret, Failure> + Send + Sync + 'static) -> Self {
        Self { find: Arc::new(find), found: Arc::default() }
    }

    /// The password. Finding it may run a program that asks the operator.
    pub(super) async fn get(&self) -> Result<Secret, Failure> {
        let this = self.clone();
        let find = move || this.found.get_or_init(|| (this.find)()).clone();
        let found = tokio::task::spawn_blocking(find).await;
        found.unwrap_or_else(|_| Err(Failure::usage("the password of sudo is not found")))
    }
}

impl From<Secret> for SudoPassword {
    fn from(password: Secret) -> Self {
        Self::found_by(move || Ok(password.clone()))
    }
}

/// The password is left out.
impl fmt::Debug for SudoPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SudoPassword").finish_non_exhaustive()
    }
}
