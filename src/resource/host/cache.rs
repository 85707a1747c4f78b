//! What was read of the host and is asked for again. Whoever reads something has a type of its own for it, so
//! the host knows none of them.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use tokio::sync::OnceCell;

use super::Host;

/// What was read.
#[derive(Default)]
pub(super) struct Cache {
    texts: RefCell<HashMap<String, Rc<OnceCell<Rc<str>>>>>,
    tables: RefCell<HashMap<String, Rc<str>>>,
    /// Units that are read together.
    units: RefCell<Vec<String>>,
    by_type: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

impl Host {
    /// The cache of this type. It is empty at first, and lasts as long as the session.
    pub(in crate::resource) fn cached<T: Default + 'static>(&self) -> Rc<T> {
        let mut by_type = self.cache.by_type.borrow_mut();
        let cache = by_type.entry(TypeId::of::<T>()).or_insert_with(|| Rc::new(T::default()));
        Rc::clone(cache).downcast().unwrap_or_default()
    }

    /// Adds a unit to those that are read together.
    pub(in crate::resource) fn expect_unit(&self, name: &str) {
        let mut units = self.cache.units.borrow_mut();
        if !units.iter().any(|known| known == name) {
            units.push(name.to_owned());
        }
    }

    /// The units that are read together.
    pub(in crate::resource) fn expected_units(&self) -> Vec<String> {
        self.cache.units.borrow().clone()
    }

    /// Text that is read once and kept until [`Host::forget`].
    pub async fn once<F>(&self, key: &str, read: F) -> Result<Rc<str>>
    where
        F: AsyncFnOnce() -> Result<String>,
    {
        // Several may want it at once: one of them reads.
        let cell = Rc::clone(self.cache.texts.borrow_mut().entry(key.to_owned()).or_default());
        let text = cell.get_or_try_init(async || read().await.map(Rc::from)).await?;
        Ok(Rc::clone(text))
    }

    /// A file that is read at once, and kept like that.
    pub(in crate::resource) fn table(
        &self,
        path: &str,
        read: impl FnOnce() -> Result<String>,
    ) -> Result<Rc<str>> {
        if let Some(known) = self.cache.tables.borrow().get(path) {
            return Ok(Rc::clone(known));
        }
        let text = Rc::from(read()?);
        self.cache.tables.borrow_mut().insert(path.to_owned(), Rc::clone(&text));
        Ok(text)
    }

    /// Forgets what was read, after a change.
    pub fn forget(&self) {
        self.cache.texts.borrow_mut().clear();
        self.cache.tables.borrow_mut().clear();
    }
}
