//! The rules of [`super::check`] as regular expressions of JSON Schema, so that an editor marks what hwctl refuses. Each is
//! for a whole text. Where a rule is more than a pattern can say, the pattern accepts more than the rule does.

/// Any text, where the rule is more than a pattern can say.
pub(crate) const ANY: &str = r"[\s\S]*";
/// What stands in a command.
pub(crate) const ARGUMENT: &str = r"[^\u0000]+";
/// A path on a host that needs no quoting.
pub(crate) const HOST_PATH: &str = r"(/(?!\.\.?(/|$))[A-Za-z0-9._+@-]+)+/*";
/// A path on the operator's machine.
pub(crate) const LOCAL_PATH: &str = r"[^\u0000-\u001f\u007f-\u009f]+";
pub(crate) const URL_PATH: &str = r"/|(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+";
pub(crate) const SITE_NAME: &str = r"(?!-)[a-z0-9_-]{1,64}";
pub(crate) const DOCKER_NAME: &str = r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}";
pub(crate) const IMAGE: &str = concat!(
    r"((localhost|[A-Za-z0-9-]*[.:][A-Za-z0-9.:-]*)/)?",
    r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*",
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9A-Fa-f]{64})?"
);
/// An address of version 6 is only told from other texts here.
pub(crate) const SERVER_NAME: &str = concat!(
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*(?![0-9]+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    r"|((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}",
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
);
pub(crate) const ADDRESS: &str = concat!(
    r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}",
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
);
pub(crate) const NETWORK: &str = concat!(
    r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?![/]|$)|(?=/|$))){4}(/(3[0-2]|[12]?[0-9]))?",
    r"|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
);
/// A port with its protocol.
pub(crate) const PORT: &str = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})/(tcp|udp)";
/// A URL that something can be sent to.
pub(crate) const WEB_URL: &str = r"https?://[!-~]{1,4088}";
/// Who logs in.
pub(crate) const USER_NAME: &str = r"(?!#)[^\s:\u0000-\u001f\u007f-\u009f]{1,255}";
/// A file of passwords in nginx's folder.
pub(crate) const USERS_FILE: &str = r"\.htpasswd[A-Za-z0-9_.-]{0,100}";

/// The pattern of a schema that takes the whole text. The `$` of some readers also stands before a line break at the
/// end, which the last part refuses.
pub(crate) fn whole(pattern: &str) -> String {
    format!(r"^(?:{pattern})$(?!\n)")
}
