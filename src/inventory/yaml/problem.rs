//! What is said when something in the inventory is wrong: where, what, the line itself, and what to do.

use std::collections::HashSet;
use std::sync::Arc;

use super::keys::names_a_secret;
use super::node::Node;
use super::place::{Extent, Mark, Place};
use crate::failure::{Failure, Page};

/// How many problems one failure lists.
const TOLD: usize = 10;

/// One thing that is wrong in the inventory.
#[derive(Clone, Debug)]
pub(in crate::inventory) struct Problem(Box<Details>);

#[derive(Clone, Debug, Default)]
struct Details {
    place: Option<Place>,
    message: String,
    /// What lies behind it, such as what a program said.
    why: Vec<String>,
    hint: Option<String>,
    page: Option<Page>,
    /// Whether the source line may be shown.
    shown: bool,
    /// What in the line is shown or not, other than the source has it.
    marks: Vec<(Extent, Mark)>,
}

impl Problem {
    pub(in crate::inventory) fn at(place: &Place, message: impl Into<String>) -> Self {
        let mut problem = Self::nowhere(message);
        problem.0.place = Some(place.clone());
        problem
    }

    /// A problem of something that is nowhere, such as a variable that is missing.
    pub(in crate::inventory) fn nowhere(message: impl Into<String>) -> Self {
        Self(Box::new(Details { message: message.into(), shown: true, ..Details::default() }))
    }

    /// Says where a problem is that was found without knowing that.
    pub(in crate::inventory) fn or_at(mut self, place: &Place) -> Self {
        if self.0.place.is_none() {
            self.0.place = Some(place.clone());
        }
        self
    }

    pub(in crate::inventory) fn because(mut self, why: String) -> Self {
        self.0.why.push(why);
        self
    }

    pub(in crate::inventory) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the page that says more.
    pub(in crate::inventory) fn page(mut self, page: Page) -> Self {
        self.0.page = Some(page);
        self
    }

    /// Adds another thing to do, to the hint that there may be.
    pub(in crate::inventory) fn or_hint(mut self, hint: &str) -> Self {
        self.0.hint = Some(match self.0.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint.to_owned(),
        });
        self
    }

    /// Keeps the value of a mistyped key out of the message, unless the key that was likely
    /// meant has no secrets.
    pub(in crate::inventory) fn hiding(mut self, value: &Node, meant: Option<&str>) -> Self {
        if meant.is_none_or(names_a_secret) {
            let hidden = value.extents().into_iter().map(|extent| (extent, Mark::Hidden));
            self.0.marks.extend(hidden);
        }
        self
    }

    /// Keeps what stands at the place itself out of the message.
    pub(in crate::inventory) fn hiding_place(mut self) -> Self {
        self.0.marks.extend(self.0.place.as_ref().map(|place| (place.extent, Mark::Hidden)));
        self
    }

    /// Keeps these texts out of the message, where they stand in quotes.
    pub(in crate::inventory) fn hiding_texts<'a>(
        mut self,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        for text in texts {
            self.0.message = self.0.message.replace(&format!("`{text}`"), "`***`");
        }
        self
    }

    /// Lets the message show the values at these places.
    pub(in crate::inventory) fn showing(mut self, values: &[Place]) -> Self {
        if let Some(Place { source, .. }) = &self.0.place {
            let here = values.iter().filter(|value| Arc::ptr_eq(&value.source, source));
            self.0.marks.extend(here.map(|value| (value.extent, Mark::Visible)));
        }
        self
    }

    /// Keeps the source line out of the message: what it holds is not known yet.
    pub(in crate::inventory) fn without_line(mut self) -> Self {
        self.0.shown = false;
        self
    }

    fn headline(&self) -> String {
        match &self.0.place {
            Some(place) => format!("{place}: {}", self.0.message),
            None => self.0.message.clone(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        failure(vec![problem])
    }
}

/// One failure of all that is wrong: the first problem exactly, the others by place and message.
pub(in crate::inventory) fn failure(mut problems: Vec<Problem>) -> Failure {
    problems.sort_by_key(|problem| {
        let place = problem.0.place.as_ref();
        let order = place.map(|place| (place.source.name.clone(), place.extent));
        (order.is_none(), order, problem.0.message.clone())
    });
    let mut told = HashSet::new();
    problems.retain(|problem| told.insert(problem.headline()));
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else {
        return Failure::usage("the inventory is wrong");
    };
    let mut failure = Failure::usage(first.headline());
    failure.page = first.0.page;
    let place = first.0.place.as_ref().filter(|_| first.0.shown);
    if let Some(snippet) = place.and_then(|place| place.snippet(&first.0.marks)) {
        failure = failure.why(snippet);
    }
    failure = first.0.why.into_iter().fold(failure, Failure::why);
    let others: Vec<_> = problems.collect();
    for problem in others.iter().take(TOLD - 1) {
        failure = failure.why(format!("also {}", problem.headline()));
    }
    if others.len() >= TOLD {
        failure = failure.why(format!("and {} more", others.len() + 1 - TOLD));
    }
    match first.0.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The name that was likely meant, of those that are `known`.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase().replace('-', "_");
    let allowed = 1 + name.chars().count() / 4;
    known
        .into_iter()
        .map(|other| {
            let other_lower = other.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &other_lower), other)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_a_few_letters() {
        assert_eq!(nearest("prot", ["image", "port"]), Some("port"));
        assert_eq!(nearest("Server-Names", ["server_names"]), Some("server_names"));
        assert_eq!(nearest("zebra", ["image", "port"]), None);
    }
}
