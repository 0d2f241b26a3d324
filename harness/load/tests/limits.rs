//! Limits that hold for all answers of a process together, and for heads of HTTP/2. A process of its own, since other tests have large
//! answers too.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use poolproof_load::engine::{self, Job, Measured, Part, Sender};
use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Handles each connection by a thread.
fn server(serve: impl Fn(TcpStream) -> std::io::Result<()> + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that has left is no fault.
            std::thread::spawn(move || serve(stream.unwrap()).ok());
        }
    });
    address
}

async fn send(address: SocketAddr, more: &str) -> Measured {
    let url = Url::parse(&format!("http://{address}")).unwrap();
    let target: Target = toml::from_str(&format!(
        "name = 't'\nurl = '{url}'\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1"
    ))
    .unwrap();
    let workload: Workload = toml::from_str(&format!(
        "shows = 'x'\nduration_s = 0.4\n{more}\n[[mix]]\nclass = 'c'\nstream = false\ninput_tokens = 20\noutput_tokens = 3\n"
    ))
    .unwrap();
    let sender = Sender {
        urls: &[url],
        sources: &[],
        vocabulary: None,
        threads: 2,
        seed: 1,
        part: Part::whole(),
    };
    let job = Job::new(workload, None, &target, sender).await.unwrap();
    let stop = CancellationToken::new();
    engine::run(job, &stop, &mut |_| {}).await.unwrap()
}

/// What failed, with the first detail of each kind.
fn failed(measured: &Measured) -> Vec<(String, String)> {
    let examples = measured.recorder.examples.iter();
    let mut failed: Vec<(String, String)> = examples
        .map(|example| (example.kind.to_string(), example.detail.clone()))
        .collect();
    failed.dedup_by(|one, other| one.0 == other.0);
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_long_together_are_given_up_before_memory_runs_out() {
    // Each is shorter than an answer may be, and none comes to its end.
    let address = server(|mut stream| {
        stream.read_exact(&mut [0; 100])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")?;
        (0..7).try_for_each(|_| stream.write_all(&[b'a'; 1 << 20]))?;
        while stream.read(&mut [0; 1 << 16])? > 0 {}
        Ok(())
    });
    let users = "timeout_s = 2\narrival = { process = 'closed', users = 32 }";
    let measured = send(address, users).await;
    let failed = failed(&measured);
    let long = failed.iter().find(|(kind, _)| kind == "too-long");
    let detail = long.map(|(_, detail)| detail.as_str()).unwrap_or_default();
    assert!(detail.contains("all answers under way"), "{failed:?}");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head[..], payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_http2_that_unpack_to_a_megabyte_are_refused() {
    let address = server(|mut stream| {
        stream.read_exact(&mut [0; 24])?;
        stream.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat())?;
        let mut head = [0; 9];
        loop {
            stream.read_exact(&mut head)?;
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            stream.read_exact(&mut vec![0; length])?;
            if head[3] == 1 {
                // `:status` 200, a field of 3,900 bytes, and 256 references to it (RFC 7541, sections 6.1 and 6.2.1).
                let length = 3900 - 127;
                let mut block = vec![
                    0x88,
                    0x40,
                    1,
                    b'x',
                    127,
                    0x80 | (length & 127) as u8,
                    (length >> 7) as u8,
                ];
                block.extend([b'a'; 3900]);
                block.extend([0xbe; 256]);
                stream.write_all(&frame(1, 5, head[8], &block))?;
            }
        }
    });
    let measured = send(
        address,
        "http = '2'\nnew_connections = true\ntimeout_s = 2\narrival = { process = 'constant', rate_per_s = 20 }",
    )
    .await;
    let all = measured.recorder.sum(|_| true);
    assert_eq!((all.answered, all.failures()), (0, 8));
    let failed = failed(&measured);
    assert_eq!(failed[0].0, "closed-before-answer", "{failed:?}");
}
