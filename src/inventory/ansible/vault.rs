//! Opens what `ansible-vault` has encrypted.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::program::{self, Messages};
use crate::failure::{Failure, Page};
use crate::inventory::names::shown;
use crate::inventory::program::Input;
use crate::inventory::question::ask_secret;
use crate::inventory::trust::require_own;
use crate::inventory::yaml::place::Source;
use crate::inventory::yaml::problem::Problem;
use crate::resource::Secret;

/// What every encrypted text begins with.
const HEADER: &str = "$ANSIBLE_VAULT;";
/// The cipher of the versions 1.1 and 1.2, the only one that is left.
const CIPHER: &str = "AES256";
/// How often the password is hashed into the keys. The format has no field for it.
const ROUNDS: u32 = 10_000;
/// Bytes of each of the two keys, and of the first counter.
const KEY: usize = 32;
const COUNTER: usize = 16;

/// Where a password of a vault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inventory) struct PasswordFile {
    /// The vault id that it is for.
    pub(in crate::inventory) label: String,
    /// A file with the password in it, an executable that prints it, or `prompt`.
    pub(in crate::inventory) path: PathBuf,
}

impl PasswordFile {
    /// Reads `LABEL@PATH`, or a path alone.
    pub(in crate::inventory) fn parse(text: &str) -> Self {
        let (label, path) = text.split_once('@').unwrap_or(("default", text));
        Self { label: label.to_owned(), path: PathBuf::from(path) }
    }

    /// Whether a person is asked for the password.
    pub(in crate::inventory) fn is_asked_for(&self) -> bool {
        matches!(self.path.to_str(), Some("prompt" | "prompt_ask_vault_pass"))
    }
}

/// The passwords of vaults, which are looked up when the first encrypted value is needed.
pub(in crate::inventory) struct Vault {
    files: Vec<PasswordFile>,
    passwords: OnceLock<Result<Vec<(String, Secret)>, Problem>>,
    /// What was opened before, by its encrypted text.
    opened: Mutex<HashMap<String, Secret>>,
}

/// Whether a text is encrypted as a whole.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(HEADER)
}

impl Vault {
    pub(in crate::inventory) fn new(files: Vec<PasswordFile>) -> Self {
        Self { files, passwords: OnceLock::new(), opened: Mutex::default() }
    }

    pub(super) fn has_no_password(&self) -> bool {
        self.files.is_empty()
    }

    /// The passwords as Ansible's programs take them.
    pub(super) fn ids(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| format!("{}@{}", file.label, file.path.display()))
    }

    /// Opens an encrypted file.
    pub(super) fn open_source(&self, source: &Arc<Source>) -> Result<Arc<Source>, Problem> {
        let text = self
            .open(source.text())
            .map_err(|problem| problem.or_at(&source.start()).without_line())?;
        Ok(Source::sealed(source.name(), text.expose().to_owned()))
    }

    /// Opens an encrypted text.
    pub(super) fn open(&self, text: &str) -> Result<Secret, Problem> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plain) = opened.get(text) {
            return Ok(plain.clone());
        }
        let sealed = Sealed::parse(text).ok_or_else(|| {
            Problem::nowhere("this is not a vault of version 1.1 or 1.2")
                .hint("`ansible-vault rekey` writes it anew")
        })?;
        if self.files.is_empty() {
            let problem = Problem::nowhere("no vault password was given").hint(
                "name a file with `--vault-password-file`, or in ANSIBLE_VAULT_PASSWORD_FILE",
            );
            return Err(problem.page(Page::Inventory));
        }
        let passwords = self.passwords.get_or_init(|| self.files.iter().map(password).collect());
        let passwords = passwords.as_ref().map_err(Clone::clone)?;
        // A label is only a hint at the password, so all of them are tried.
        let (named, others): (Vec<_>, Vec<_>) =
            passwords.iter().partition(|(label, _)| *label == sealed.label);
        let mut tried = named.into_iter().chain(others);
        let plain = tried.find_map(|(_, password)| sealed.open(password)).ok_or_else(|| {
            Problem::nowhere("none of the given passwords decrypts this vault")
                .hint("`--vault-id LABEL@FILE` adds one")
        })?;
        let plain = String::from_utf8(plain)
            .map_err(|_| Problem::nowhere("what is in this vault is not text"))?;
        let plain = Secret::new(plain);
        opened.insert(text.to_owned(), plain.clone());
        Ok(plain)
    }
}

/// Reads one password, or runs the program that prints it.
fn password(file: &PasswordFile) -> Result<(String, Secret), Problem> {
    let PasswordFile { label, path } = file;
    let shown = shown(&path.display().to_string());
    if file.is_asked_for() {
        return Ok((label.clone(), ask(label)?));
    }
    require_own(path).map_err(|failure: Failure| Problem::nowhere(failure.what))?;
    let unreadable = |error| {
        Problem::nowhere(format!("cannot read the vault's password file `{shown}`: {error}"))
    };
    let found = std::fs::metadata(path).map_err(unreadable)?;
    let text = if found.is_file() && found.permissions().mode() & 0o111 != 0 {
        let program = std::path::absolute(path).map_err(unreadable)?;
        let arguments: &[&str] = if is_client(path) { &["--vault-id", label] } else { &[] };
        program::run(&program, arguments, Input::Terminal, Messages::Withheld)?
    } else {
        std::fs::read_to_string(path).map_err(unreadable)?
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::nowhere(format!("the vault's password file `{shown}` is empty")));
    }
    Ok((label.clone(), Secret::new(text.to_owned())))
}

/// Asks whoever sits at the terminal for a password, which is not shown.
fn ask(label: &str) -> Result<Secret, Problem> {
    let label = shown(label);
    let answer = ask_secret(&format!("Vault password ({label}): "));
    match answer.map(|answer| answer.trim().to_owned()) {
        Ok(password) if !password.is_empty() => Ok(Secret::new(password)),
        Ok(_) => Err(Problem::nowhere(format!("no password was given for the vault `{label}`"))),
        Err(_) => Err(Problem::nowhere(format!(
            "the password of the vault `{label}` cannot be asked for without a terminal"
        ))
        .hint("name a file, or an executable that prints it, with `--vault-password-file`")),
    }
}

/// Whether a program is told which vault its password is for. Its name says so.
fn is_client(path: &Path) -> bool {
    path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("-client"))
}

/// The parts of an encrypted text.
struct Sealed {
    label: String,
    salt: Vec<u8>,
    signature: Vec<u8>,
    data: Vec<u8>,
}

impl Sealed {
    fn parse(text: &str) -> Option<Self> {
        let (header, body) = text.trim().split_once('\n')?;
        let mut fields = header.trim_end().strip_prefix(HEADER)?.split(';');
        let (version, cipher) = (fields.next()?, fields.next()?);
        if !["1.1", "1.2"].contains(&version) || cipher != CIPHER {
            return None;
        }
        let label = fields.next().unwrap_or("default").to_owned();
        let body: String = body.split_whitespace().collect();
        // The three parts are in hexadecimal, and the lines of them once more.
        let lines = String::from_utf8(bytes(&body)?).ok()?;
        let mut parts = lines.splitn(3, '\n').map(bytes);
        Some(Self { label, salt: parts.next()??, signature: parts.next()??, data: parts.next()?? })
    }

    /// What is inside, if this is its password.
    fn open(&self, password: &Secret) -> Option<Vec<u8>> {
        let mut keys = [0; 2 * KEY + COUNTER];
        let password = password.expose().as_bytes();
        pbkdf2::pbkdf2_hmac::<Sha256>(password, &self.salt, ROUNDS, &mut keys);
        let (cipher_key, rest) = keys.split_at(KEY);
        let (sign_key, counter) = rest.split_at(KEY);
        let mut mac = Hmac::<Sha256>::new_from_slice(sign_key).ok()?;
        mac.update(&self.data);
        mac.verify_slice(&self.signature).ok()?;
        let mut data = self.data.clone();
        let mut cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(cipher_key, counter).ok()?;
        cipher.apply_keystream(&mut data);
        // The last byte tells how many bytes were added.
        let added = usize::from(*data.last()?);
        let length = data.len().checked_sub(added).filter(|_| (1..=COUNTER).contains(&added))?;
        data.truncate(length);
        Some(data)
    }
}

/// The bytes that digits in hexadecimal stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ansible-vault encrypt_string` of `hunter2` with the password `pw`.
    const SEALED: &str = "$ANSIBLE_VAULT;1.1;AES256
37616663633537303862633632376362353764623936383836323536373036303166643363373766
3832666433613437313230393435326362363962666631390a346339313666663865623632396165
30643235336634356138343331313364636162623238343162633333353836353761626433366164
3136383637343064380a323735623137383337333335643464393035303464316536613361396461
3064
";

    fn vault(passwords: &[&str]) -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let files = passwords.iter().enumerate().map(|(at, password)| {
            let path = folder.path().join(at.to_string());
            std::fs::write(&path, format!("{password}\n")).unwrap();
            PasswordFile { label: "default".to_owned(), path }
        });
        let vault = Vault::new(files.collect());
        (folder, vault)
    }

    fn message(text: &str, passwords: &[&str]) -> String {
        let (_folder, vault) = vault(passwords);
        let problem = vault.open(text).err().unwrap();
        Failure::from(problem).what
    }

    #[test]
    fn a_vault_is_opened_with_any_of_the_passwords() {
        let (_folder, vault) = vault(&["other", "pw"]);

        assert_eq!(vault.open(SEALED).unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_vault_that_does_not_open_says_why() {
        assert_eq!(message(SEALED, &[]), "no vault password was given");
        let wrong = "none of the given passwords decrypts this vault";
        assert_eq!(message(SEALED, &["other"]), wrong);
        assert_eq!(message(&SEALED.replace("3064\n", "3065\n"), &["pw"]), wrong);
        let unknown = "this is not a vault of version 1.1 or 1.2";
        assert_eq!(message(&SEALED.replace("1.1", "1.0"), &["pw"]), unknown);
        assert_eq!(message("$ANSIBLE_VAULT;1.1;AES256\nxyz", &["pw"]), unknown);
    }

    #[test]
    fn the_name_of_a_client_tells_it_from_other_programs() {
        assert!(is_client(Path::new("/x/pass-client")) && is_client(Path::new("a-client.py")));
        assert!(!is_client(Path::new("client.sh")) && !is_client(Path::new("x-client/pass")));
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_vault_is_opened_or_refused(text in crate::damaged::text(&[SEALED])) {
            let _ = Sealed::parse(&text).map(|sealed| sealed.label);
        }
    }
}
