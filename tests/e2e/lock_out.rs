//! What would keep the operator from logging in, or from becoming root, is refused or taken back.

use std::fs;

use serde_json::Value;

use crate::host::{Provisioned, failure};

crate::tests! {
    Lab: [the_operator_stays_root, no_unit_of_a_package_is_put_out_of_force],
}

/// A host with things of the operator's own beside the stack.
struct WithOwn(Provisioned);

impl WithOwn {
    /// Provisions it with these variables.
    fn provision(&self, own: &str) -> (i32, Vec<Value>) {
        fs::write(self.0.folder().join("own.yaml"), format!("all:\n  vars:\n{own}")).unwrap();
        self.0.hwctl("provision", &["-i", "inventory.yaml", "-i", "own.yaml"])
    }

    /// Whether all is as it was without the own things.
    fn is_as_before(&self) {
        let (code, events) = self.0.hwctl("plan", &[]);
        assert_eq!(code, 0, "{events:#?}");
    }
}

fn the_operator_stays_root() {
    let host = WithOwn(Provisioned::ready("trixie"));
    let user = host.0.host.ssh_user();
    assert_ne!(user, "root");
    for (own, code, says) in [
        (
            "    files: { /etc/sudoers.d/zz: { content: \"USER ALL=(ALL) ALL\\n\", mode: \"0440\" } }\n",
            4,
            "sudo wants a password",
        ),
        (
            "    files: { /etc/sudoers: { content: \"garbage here\\n\", mode: \"0440\" } }\n",
            4,
            "`visudo -cf %s` refuses the new `/etc/sudoers`",
        ),
        ("    users: { USER: { sudo: password } }\n", 4, "sudo wants a password"),
        (
            "    files: { /etc/ssh/sshd_config.d/x.conf: { content: \"Garbage nobody\\n\" } }\n",
            4,
            "refuses the new `/etc/ssh/sshd_config.d/x.conf`",
        ),
        (
            "    files: { /etc/ssh/sshd_config.d/x.conf: { content: \"AllowUsers nobody\\n\" } }\n",
            4,
            "a new login",
        ),
        ("    links: { /etc/passwd: /nowhere }\n", 2, "is written to by other programs"),
    ] {
        let (ended, events) = host.provision(&own.replace("USER", user));
        assert_eq!(ended, code, "{own}: {events:#?}");
        let told = failure(&events);
        assert!(told.contains(says), "{own}: {told}");
        host.is_as_before();
    }
}

fn no_unit_of_a_package_is_put_out_of_force() {
    let host = WithOwn(Provisioned::ready("trixie"));
    for own in [
        "    timers: { ssh: { run: [\"true\"], on: daily } }\n",
        "    timers: { logrotate: { run: [\"true\"], on: daily } }\n",
        "    units: { cron: { content: \"[Service]\\nExecStart=/bin/sleep infinity\\n\" } }\n",
    ] {
        let (code, events) = host.provision(own);
        assert_eq!(code, 1, "{own}: {events:#?}");
        assert!(failure(&events).contains("is a unit of a package on the host"), "{events:#?}");
        host.is_as_before();
    }
    assert_eq!(host.0.sh("ls /etc/systemd/system/{ssh,logrotate,cron}.service 2>/dev/null; :"), "");
    let (code, events) =
        host.provision("    timers: { mine: { run: [\"true\"], on: daily, user: nosuch } }\n");
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("no user `nosuch`"), "{events:#?}");
    host.is_as_before();
}
