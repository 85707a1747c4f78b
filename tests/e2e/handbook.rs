//! The host that the handbook makes by hand: Flask under gunicorn, Redis started by docker, scripts,
//! a certificate and a site. hwctl takes its place without losing a count, and gives it back.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Provisioned, lab, wait_until};

crate::tests! {
    Lab: [on_debian_12, on_debian_13],
}

const APP: &str = r#"from flask import Flask, jsonify
import redis
app = Flask(__name__)
store = redis.Redis(host="127.0.0.1", port=6379)

@app.route("/flask/api/count")
def count():
    return jsonify(visits=store.incr("visits"))
"#;

const SERVICE: &str = "[Unit]
Description=Flask app
After=network.target

[Service]
User=ubuntu
Group=flask-app
WorkingDirectory=/home/ubuntu/Flask-app
EnvironmentFile=/home/ubuntu/Flask-app/.env
RuntimeDirectory=gunicorn
UMask=0000
ExecStart=/usr/bin/gunicorn --workers 2 --bind unix:/run/gunicorn/flask.sock app:app
Restart=always

[Install]
WantedBy=multi-user.target
";

const SITE: &str = "server {
    listen 443 ssl;
    ssl_certificate /etc/nginx/ssl/homework.crt;
    ssl_certificate_key /etc/nginx/ssl/homework.key;
    location / { root /var/www/main; }
    location /close { root /var/www; auth_basic closed; auth_basic_user_file /etc/nginx/.htpasswd; }
    location /flask/ { proxy_pass http://unix:/run/gunicorn/flask.sock; }
}
";

/// What the handbook leaves, with a count of 43.
fn by_hand(release: &str) -> Provisioned {
    let host = Provisioned::fresh(release);
    let root = host.host.root();
    fs::copy(lab().redis_archive().unwrap(), root.join("root/image.tar")).unwrap();
    // Before Debian 13 docker.io has the client in it.
    let client = if release == "bookworm" { "" } else { "docker-cli" };
    host.sh(&format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nginx docker.io {client} iptables \
         python3-flask python3-redis gunicorn openssl >/dev/null 2>&1"
    ));
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("home/ubuntu/Flask-app/app.py", APP);
    write("home/ubuntu/Flask-app/.env", "SECRET_KEY=of-old\n");
    write("etc/systemd/system/flask-app.service", SERVICE);
    write("etc/nginx/sites-available/homework", SITE);
    write("var/www/main/index.html", "<h1>mine</h1>");
    write("usr/local/bin/check-flask", "#!/bin/sh\necho theirs\n");
    write("usr/local/bin/restart-flask", "#!/bin/sh\nsystemctl restart flask-app\n");
    host.sh(
        "groupadd flask-app; chmod 755 /usr/local/bin/*-flask; mkdir -p /etc/nginx/ssl /var/www/close; \
         openssl req -x509 -newkey rsa:2048 -nodes -days 300 -subj /CN=homework \
         -keyout /etc/nginx/ssl/homework.key -out /etc/nginx/ssl/homework.crt 2>/dev/null; \
         printf 'old:%s\n' \"$(openssl passwd -apr1 secret)\" >/etc/nginx/.htpasswd; \
         rm -f /etc/nginx/sites-enabled/default; \
         ln -s ../sites-available/homework /etc/nginx/sites-enabled/homework; \
         docker load -q -i /root/image.tar >/dev/null; \
         docker run -d --name redis-flask --restart always -p 127.0.0.1:6379:6379 \
         -v flask-app_redis-data:/data redis:7-alpine redis-server --save 60 1 --protected-mode no >/dev/null; \
         systemctl daemon-reload; systemctl enable --now flask-app >/dev/null 2>&1; systemctl restart nginx",
    );
    wait_until("the old API answers", || !count_of_old(&host).is_null());
    host.sh(&format!("{CLI} SET visits 43; {CLI} SET other one; {CLI} -n 2 SET third two"));
    host
}

const CLI: &str = "docker exec redis-flask redis-cli";

fn count_of_old(host: &Provisioned) -> Value {
    let told = Provisioned::curl(&[&host.url("/flask/api/count")]);
    serde_json::from_str::<Value>(&told).map_or(Value::Null, |told| told["visits"].clone())
}

/// All that was made by hand and is read by a service or a person.
const OLD: &str = "cd / && for f in etc/systemd/system/flask-app.service etc/nginx/sites-available/homework \
                   etc/nginx/nginx.conf etc/nginx/.htpasswd etc/nginx/ssl/homework.key etc/nginx/ssl/homework.crt \
                   home/ubuntu/Flask-app/.env usr/local/bin/check-flask usr/local/bin/restart-flask \
                   var/www/main/index.html etc/group; do \
                   stat -c '%n %F %a %U:%G' $f; sha256sum <$f; done; \
                   systemctl is-enabled flask-app nginx docker; readlink /etc/nginx/sites-enabled/homework";

fn on_debian_12() {
    is_taken_over_and_given_back("bookworm");
}

fn on_debian_13() {
    is_taken_over_and_given_back("trixie");
}

/// Asks a host's API for a count again and again, as clients do that know nothing of hwctl.
struct Clients {
    ended: Arc<AtomicBool>,
    asking: JoinHandle<Vec<String>>,
}

impl Clients {
    fn start(host: &Provisioned) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (until, url) = (Arc::clone(&ended), host.url("/flask/api/count"));
        let asking = std::thread::spawn(move || {
            let ask = ["-m", "10", "-o", "/dev/null", "-w", "%{http_code}", &url];
            let mut statuses = Vec::new();
            while !until.load(Ordering::Relaxed) {
                statuses.push(Provisioned::curl(&ask));
                std::thread::sleep(Duration::from_millis(50));
            }
            statuses
        });
        Self { ended, asking }
    }

    /// The statuses of all answers. hwctl's API answers 401, since it wants a token.
    fn end(self) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        self.asking.join().unwrap()
    }
}

fn is_taken_over_and_given_back(release: &str) {
    let host = by_hand(release);
    let before = host.sh(OLD);

    for verb in ["rollback", "destroy"] {
        let counted = host.sh(&format!("{CLI} GET visits")).parse::<u64>().unwrap();
        let clients = Clients::start(&host);
        let (code, events) = host.hwctl("provision", &[]);
        let statuses = clients.end();
        assert_eq!(code, 0, "{events:#?}");
        let count_of = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
        // gunicorn closes its socket before it ends: what comes meanwhile is lost, and nothing else.
        let (answered, new) = (count_of("200"), count_of("401"));
        let lost = statuses.len() - answered - new;
        let expected = [("200", answered), ("502", lost), ("401", new)];
        let expected: Vec<_> =
            expected.iter().flat_map(|(status, times)| vec![*status; *times]).collect();
        assert_eq!(statuses, expected, "one gap");
        assert!(answered > 10 && new > 1 && lost < 60, "{answered}, {lost}, {new}");
        let counted = counted + u64::try_from(answered).unwrap();
        let now = host.count_visit();
        assert!((counted + 1..=counted + 2).contains(&now), "{now} visits after {counted}");
        let counted = now;
        assert_eq!(host.hwctl("plan", &[]).0, 0);
        assert_eq!(host.sh("check-flask | grep ✗ || :"), "");

        let (code, events) = host.hwctl(verb, &["--yes"]);
        assert_eq!(code, 0, "{events:#?}");

        assert_eq!(host.sh(OLD), before, "after {verb}");
        wait_until("the old API answers again", || !count_of_old(&host).is_null());
        let now = host.sh(&format!("{CLI} GET visits")).parse::<u64>().unwrap();
        assert!(now >= counted, "{now} after {counted}: what was counted meanwhile");
        assert_eq!(host.sh(&format!("{CLI} -n 2 GET third")), "two");
        assert_eq!(host.sh("check-flask"), "theirs");
        host.sh(&format!("{CLI} SAVE"));
    }
}
