//! What hwctl's own pages show: the landing page all routes of the host, any other page its site.

use serde::Serialize;

use super::Site;
use crate::part::build::{Contributions, Route, RouteTarget};

/// What hwctl's own pages are rendered with.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    /// What people know the host by.
    name: &'a str,
    site: &'a str,
    path: &'a str,
    title: &'a str,
    tagline: Option<&'a str>,
    /// The first letter of the title, for the icon.
    monogram: String,
    frames: Vec<Shown<'a>>,
    cards: Vec<Shown<'a>>,
}

/// A route as the landing page shows it.
#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    description: Option<&'a str>,
    /// The URL that people open.
    path: String,
    /// Whether it asks for a login.
    is_locked: bool,
    /// Whether only some networks are let in.
    is_limited: bool,
    is_application: bool,
    /// Whether the page itself may ask if it answers: it is of the same origin, and asks nobody for a password.
    is_watched: bool,
}

impl<'a> Page<'a> {
    pub(super) fn of(name: &'a str, site: &'a Site, offered: &'a Contributions) -> Self {
        let host = offered.names.certificate.first().map_or("homework", String::as_str);
        let is_main = name == super::MAIN;
        let title = site.title.as_deref().unwrap_or(if is_main { host } else { name });
        let shown = offered.routes.iter().filter_map(|offer| shown(&offer.value));
        let (framed, others): (Vec<_>, Vec<_>) = shown.partition(|(is_framed, _)| *is_framed);
        let rest =
            |shown: Vec<(bool, Shown<'a>)>| shown.into_iter().map(|(_, shown)| shown).collect();
        Self {
            name: host,
            site: name,
            path: &site.path,
            title,
            tagline: site.description.as_deref(),
            monogram: monogram(title),
            frames: rest(framed),
            cards: rest(others),
        }
    }
}

fn shown(route: &Route) -> Option<(bool, Shown<'_>)> {
    let card = route.card.as_ref()?;
    let (is_locked, is_limited) = (route.target.asks_for_login(), route.target.is_limited());
    let leads_elsewhere = matches!(route.target, RouteTarget::Redirect(_));
    let is_own = route.host.is_none();
    let shown = Shown {
        title: &card.title,
        description: card.description.as_deref(),
        path: route.url(),
        is_locked,
        is_limited,
        is_application: matches!(route.target, RouteTarget::Application(_)),
        is_watched: is_own && !is_locked && !is_limited && !leads_elsewhere,
    };
    Some((card.is_framed && is_own, shown))
}

fn monogram(title: &str) -> String {
    let letter = title.chars().find(|c| c.is_alphanumeric());
    letter.map(|letter| letter.to_uppercase().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_has_the_first_letter_of_the_title() {
        assert_eq!(monogram("«übersicht»"), "Ü");
        assert_eq!(monogram("203.0.113.7"), "2");
        assert_eq!(monogram("…"), "");
    }
}
