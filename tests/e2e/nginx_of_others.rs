//! An nginx that is set up already: of nginx.org's layout, or with sites that clash with hwctl's.

use crate::host::{Provisioned, action, failure, wait_until};

crate::tests! {
    Lab: [the_layout_of_nginx_org_is_taken_over, clashes_are_refused_in_the_plan_and_named],
}

/// Makes of Debian's package what nginx.org's has: no folders for sites, a site of its own, workers that
/// run as `nginx`.
const NGINX_ORG: &str = r"
apt-get install -qq nginx >/dev/null 2>&1
cd /etc/nginx && rm -rf sites-available sites-enabled modules-enabled snippets fastcgi.conf proxy_params
useradd --system --no-create-home nginx
mkdir -p conf.d /usr/share/nginx/html && echo welcome >/usr/share/nginx/html/index.html
cat >conf.d/default.conf <<'END'
server {
    listen       80;
    server_name  localhost;
    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
    error_page   500 502 503 504  /50x.html;
    location = /50x.html { root   /usr/share/nginx/html; }
}
END
cat >nginx.conf <<'END'
user  nginx;
worker_processes  auto;
error_log  /var/log/nginx/error.log notice;
pid        /run/nginx.pid;
events { worker_connections  1024; }
http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    sendfile        on;
    keepalive_timeout  65;
    include /etc/nginx/conf.d/*.conf;
}
END
systemctl restart nginx
";
const LAYOUT: &str = "cd /etc/nginx && find . -printf '%p %m %U:%G\n' | sort && \
                      find . -type f | sort | xargs sha256sum";

fn the_layout_of_nginx_org_is_taken_over() {
    let host = &Provisioned::fresh("trixie");
    host.sh(NGINX_ORG);
    let before = host.sh(LAYOUT);

    let (code, events) = host.hwctl("plan", &[]);
    assert_eq!(code, 3, "{}", failure(&events));
    for folder in ["sites-available", "sites-enabled"] {
        assert_eq!(action(&events, &format!("directory /etc/nginx/{folder}")), "create");
    }
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.hwctl("plan", &[]).0, 0);
    assert_ne!(host.sh("pgrep -u www-data -c nginx"), "0");

    assert_eq!(host.hwctl("destroy", &["--yes"]).0, 0);
    assert_eq!(host.sh(LAYOUT), before);
    wait_until("the site of before is served", || {
        Provisioned::curl(&[&host.http_url("/")]).contains("welcome")
    });
}

fn clashes_are_refused_in_the_plan_and_named() {
    let host = &Provisioned::fresh("trixie");
    host.sh("apt-get install -qq nginx >/dev/null 2>&1; rm /etc/nginx/sites-enabled/default");
    let clashes = [
        // Before and after hwctl's own by its name.
        ("sites-enabled/a-shop", "server {\n    listen 80 default_server;\n}", 2, "default server"),
        (
            "sites-enabled/shop",
            "server {\n    listen [::]:80 default_server;\n}",
            2,
            "default server",
        ),
        ("conf.d/own.conf", "# Mine.\n\ngzip on;", 3, "directive is duplicate"),
        ("conf.d/own.conf", "upstream flask { server 127.0.0.1:9; }", 1, "duplicate upstream"),
        ("conf.d/own.conf", "no_such_directive;", 1, "unknown directive"),
    ];
    for (name, text, line, what) in clashes {
        host.sh(&format!("cat >/etc/nginx/{name} <<'END'\n{text}\nEND"));
        for verb in ["plan", "provision"] {
            let (code, events) = host.hwctl(verb, &[]);
            assert_eq!(code, 1, "{verb} with {text}: {events:#?}");
            let told = failure(&events);
            let place = format!("line {line} of `/etc/nginx/{name}`");
            assert!(told.contains(&place) && told.contains(what), "{told}");
            assert!(told.contains("nothing was changed on the host"), "{told}");
        }
        assert!(!host.sh_ok("test -e /var/lib/hwctl/runs"), "a run has begun");
        host.sh(&format!("rm /etc/nginx/{name}"));
    }

    // What does not clash stays, and is served.
    host.sh("printf 'server { listen 8088; location / { return 200 mine; } }' > /etc/nginx/sites-enabled/shop");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.sh("curl -s http://127.0.0.1:8088/"), "mine");
}
