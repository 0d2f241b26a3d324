//! Keys, passwords and headers reach the gateway, and nothing that a run prints, saves or starts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::poolproof;

/// In every secret, in any of its forms.
const CANARY: &str = "zzsecret";
/// `user:zzsecret-password` and `user:zzsecret-proxy`, as basic authentication has them.
const ENCODED: [&str; 2] = [
    "dXNlcjp6enNlY3JldC1wYXNzd29yZA",
    "dXNlcjp6enNlY3JldC1wcm94eQ",
];

const WORKLOAD: &str = r#"
shows = "an example"
duration_s = 0.5
arrival = { process = "constant", rate_per_s = 20 }
[[mix]]
class = "chat"
headers = { x-class = "zzsecret-class" }
input_tokens = 20
output_tokens = 5
"#;

/// A server that refuses every request with 401, and keeps what it received.
fn refusing() -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::<Mutex<String>>::default();
    let seen = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut bytes = [0; 8192];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..read]);
                    seen.lock().unwrap().push_str(&text);
                    let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, received)
}

/// All text of the files below a folder, but for those of the user.
fn files(folder: &Path, of_user: &[&str]) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            all += &files(&path, of_user);
        } else if !of_user.contains(&name.as_str()) {
            all += &format!("\n=== {name}\n");
            all += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn secrets_reach_the_gateway_and_nothing_that_is_printed_or_saved() {
    let (gateway, received) = refusing();
    let (proxy, through_proxy) = refusing();
    let head = "name = 't'";
    let models = "[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1\n\
                  [[models.pools.endpoints]]\nname = 'e'\n";
    for (number, (keys, arrived)) in [
        (
            format!(
                "url = 'http://{gateway}'\napi_key = {{ env = 'KEY' }}\n\
                 headers = {{ x-literal = 'zzsecret-literal', x-env = {{ env = 'KEY' }}, x-file = {{ file = 'key' }} }}"
            ),
            vec!["Bearer zzsecret-key", "zzsecret-literal", "zzsecret-file", "zzsecret-line"],
        ),
        (
            format!("url = 'http://user:zzsecret-password@{gateway}/v1?k=v'"),
            vec![ENCODED[0], "zzsecret-line"],
        ),
        (
            format!("url = 'http://{gateway}'\nproxy = 'http://user:zzsecret-proxy@{proxy}'\napi_key = {{ file = 'key' }}"),
            vec![ENCODED[1], "Bearer zzsecret-file"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("key", "zzsecret-file\n");
        write("chat.toml", WORKLOAD);
        let endpoint = format!("url = 'http://user:zzsecret-endpoint@{gateway}'");
        write("target.toml", &format!("{head}\n{keys}\n{models}{endpoint}\n"));
        let of_user = ["key", "chat.toml", "target.toml"];
        received.lock().unwrap().clear();
        through_proxy.lock().unwrap().clear();
        for arguments in [
            &["load", "chat.toml"][..],
            &["load", "chat.toml", "--dry-run"],
            &["load", "chat.toml", "--json"],
            &["load", "chat.toml", "--workers", "2"],
            &["load", "chat.toml", "--wait-ready", "2s"],
            &["run", "routing/unknown-model", "routing/stream-intact"],
            &["run", "routing/unknown-model", "--json"],
            &["run", "--dry-run"],
            &["doctor"],
        ] {
            let target = ["--target", "target.toml"];
            let line = ["--header", "x-line: zzsecret-line"];
            let more = if arguments[0] == "doctor" { &[][..] } else { &[target, line].concat()[..] };
            let mut command = poolproof(&folder, &[arguments, more].concat());
            let output = command
                .env("KEY", "zzsecret-key")
                .env("POOLPROOF_LOG", "trace")
                .output()
                .unwrap();
            let shown = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr)
                + &files(folder.path(), &of_user);
            for secret in [CANARY, ENCODED[0], ENCODED[1]] {
                let found = shown.lines().find(|line| line.contains(secret));
                assert_eq!(found, None, "{number}: {arguments:?}");
            }
        }
        let all = received.lock().unwrap().clone() + &through_proxy.lock().unwrap();
        for wanted in arrived {
            assert!(all.contains(wanted), "{number}: {wanted} did not arrive: {all}");
        }
    }
}

#[test]
fn an_error_shows_no_secret() {
    for (keys, wanted) in [
        ("url = 'zzsecret:zzsecret@host'", "http://"),
        ("url = 'user zzsecret@host'", "http://"),
        ("url = 'http://user:zzsecret@'", "empty host"),
        ("url = 'http://h'\napi_key = 'zzsecret'", "api_key"),
        ("url = 'http://h'\napi_key = { key = 'zzsecret' }", "key"),
        (
            "url = 'http://h'\nheaders = { x = { value = 'zzsecret' } }",
            "env",
        ),
        (
            "url = 'http://h'\nproxy = 'socks5://user:zzsecret@proxy'",
            "http://",
        ),
        ("url = 'http://user:zzsecret@127.0.0.1:1'", "unreachable"),
    ] {
        let folder = TempDir::new().unwrap();
        let text = format!(
            "name = 't'\n{keys}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1\n"
        );
        std::fs::write(folder.path().join("target.toml"), text).unwrap();
        let output = poolproof(&folder, &["run", "--target", "target.toml"])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(error.contains(wanted), "{keys}: {error}");
        assert!(!error.contains("zzsecret"), "{keys}: {error}");
    }
}
