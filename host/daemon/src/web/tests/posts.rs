//! Carriers of requests.

use std::time::Duration;

use lanyard_transport::noise::MAX_CARRIED_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    messages
        .iter()
        .flat_map(|message| [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat())
        .collect()
}

/// Opens one; its name, and the host's side.
async fn open(page: &mut Page) -> (String, Carrier) {
    let answer = page.post("/carrier", &[], b"first").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let name = answer.text();
    assert!(name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    let mut carrier = page.carrier().await;
    assert_eq!(carrier.incoming.recv().await.unwrap(), b"first");
    (name, carrier)
}

/// The stream to the page, as far as the body; chunked, read frame by frame.
struct Stream(TlsStream<TcpStream>, Vec<u8>);

impl Stream {
    async fn open(page: &Page, name: &str) -> Self {
        let mut line = page.tls().await;
        let host = format!("{}:{}", page.name(), page.port());
        let headers = [("lanyard-carrier", name), ("sec-fetch-site", "same-origin")];
        line.write_all(&request("GET /carrier", &host, &headers, b"")).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(line.read_u8().await.unwrap());
        }
        let head = Answer::parse(&head);
        assert_eq!((head.status, head.header("content-type")), (200, "application/octet-stream"));
        Self(line, Vec::new())
    }

    /// The next message, empty ones too; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        tokio::time::timeout(SOON, async {
            loop {
                if let Some((length, rest)) = self.1.split_first_chunk::<4>() {
                    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
                    if rest.len() >= length {
                        let message = rest[..length].to_vec();
                        self.1.drain(..4 + length);
                        return Some(message);
                    }
                }
                let mut size = String::new();
                while !size.ends_with("\r\n") {
                    size.push(char::from(self.0.read_u8().await.ok()?));
                }
                let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
                self.0.read_exact(&mut chunk).await.ok()?;
                chunk.truncate(chunk.len() - 2);
                if chunk.is_empty() {
                    return None;
                }
                self.1.extend(chunk);
            }
        })
        .await
        .expect("something comes")
    }
}

async fn post(page: &Page, name: &str, number: u64, messages: &[&[u8]]) -> u16 {
    page.post(&format!("/carrier/{number}"), &[("lanyard-carrier", name)], &framed(messages)).await.status
}

/// The host's side has lost its queues.
async fn over(mut carrier: Carrier) -> bool {
    tokio::time::timeout(SOON, async {
        while carrier.incoming.recv().await.is_some() {}
        carrier.outgoing.closed().await;
    })
    .await
    .is_ok()
}

#[tokio::test]
async fn messages_go_both_ways_whole_and_in_order() {
    let mut page = Page::start();
    let (name, mut carrier) = open(&mut page).await;
    let mut stream = Stream::open(&page, &name).await;
    for number in 0..5_u8 {
        let (long, short) = (vec![number; MAX_CARRIED_BYTES], [number]);
        let both: [&[u8]; 2] = [&long, &short];
        let posted = post(&page, &name, number.into(), &both);
        let echoed = async {
            for _ in 0..2 {
                let message = carrier.incoming.recv().await.unwrap();
                carrier.outgoing.send(message).await.unwrap();
            }
        };
        let received = async { [stream.next().await.unwrap(), stream.next().await.unwrap()] };
        let (status, (), received) = tokio::join!(posted, echoed, received);
        assert_eq!((status, received), (204, [long, short.to_vec()]));
    }
    carrier.outgoing.send(b"bye".to_vec()).await.unwrap();
    drop(carrier);
    assert_eq!(stream.next().await.unwrap(), b"bye");
    assert_eq!(stream.next().await, None);
    assert_eq!(post(&page, &name, 5, &[b"late"]).await, 410);
    page.stop().await;
}

#[tokio::test]
async fn a_post_out_of_sequence_ends_the_carrier() {
    let mut page = Page::start();
    for wrong in [0, 2, u64::MAX] {
        let (name, mut carrier) = open(&mut page).await;
        assert_eq!(post(&page, &name, 0, &[b"a"]).await, 204);
        assert_eq!(carrier.incoming.recv().await.unwrap(), b"a");
        assert_eq!(post(&page, &name, wrong, &[b"b"]).await, 409, "{wrong}");
        assert!(over(carrier).await);
        assert_eq!(post(&page, &name, 1, &[b"c"]).await, 410);
    }
    for number in ["x", "-1", "00", "0/", "0%30"] {
        let (name, carrier) = open(&mut page).await;
        let answer =
            page.post(&format!("/carrier/{number}"), &[("lanyard-carrier", &name)], &framed(&[b"a"])).await;
        assert_eq!(answer.status, 409, "{number}");
        assert!(over(carrier).await);
    }
    page.stop().await;
}

#[tokio::test]
async fn two_posts_at_once_end_the_carrier() {
    let mut page = Page::start();
    let (name, mut carrier) = open(&mut page).await;
    // The queue takes two; the third message waits, and with it the answer.
    {
        let mut first = std::pin::pin!(post(&page, &name, 0, &[b"1", b"2", b"3"]));
        let full = async {
            while carrier.incoming.len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            answered = &mut first => panic!("answered only when all was taken: {answered}"),
            () = full => {}
        }
        assert_eq!(post(&page, &name, 1, &[b"4"]).await, 409);
        assert_eq!(first.await, 410);
    }
    let mut taken = Vec::new();
    while let Some(message) = carrier.incoming.recv().await {
        taken.push(message);
    }
    assert_eq!(taken, [b"1", b"2"]);
    page.stop().await;
}

#[tokio::test]
async fn what_is_not_made_of_messages_ends_the_carrier() {
    let mut page = Page::start();
    let long = framed(&[&vec![0; MAX_CARRIED_BYTES + 1]]);
    let huge = vec![0; 256 * 1024 + 1];
    for (body, status) in [
        (&b""[..], 400),
        (b"\0\0\0", 400),
        (b"\0\0\0\0", 400),
        (b"\0\0\0\x05abc", 400),
        (&long, 400),
        (&huge, 413),
    ] {
        let (name, carrier) = open(&mut page).await;
        let answer = page.post("/carrier/0", &[("lanyard-carrier", &name)], body).await;
        assert_eq!(answer.status, status, "{:?}", &body[..body.len().min(8)]);
        assert!(over(carrier).await);
    }
    assert_eq!(page.post("/carrier", &[], b"").await.status, 400);
    assert_eq!(page.post("/carrier", &[], &[0; 1025]).await.status, 413);
    assert!(page.opened.try_recv().is_err());
    page.stop().await;
}

#[tokio::test]
async fn a_body_without_length_is_bounded_too_and_a_slow_one_is_cut_off() {
    let mut page = Page::at_pace(Pace { body: Duration::from_secs(6), ..Pace::default() });
    let (name, carrier) = open(&mut page).await;
    let head = format!(
        "POST /carrier/0 HTTP/1.1\r\nhost: {}:{}\r\norigin: {}\r\nlanyard-carrier: {name}\r\ntransfer-encoding: chunked\r\n\r\n",
        page.name(),
        page.port(),
        page.origin()
    );
    let mut line = page.tls().await;
    line.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
    for _ in 0..5 {
        drop(line.write_all(&chunk).await);
    }
    assert_eq!(Answer::parse(&rest(line).await).status, 413);
    assert!(over(carrier).await);

    let (name, carrier) = open(&mut page).await;
    let mut line = page.tls().await;
    let head = head.replace("transfer-encoding: chunked", "content-length: 9");
    let named = head.lines().find(|line| line.starts_with("lanyard-carrier")).unwrap().to_owned();
    let head = head.replace(&named, &format!("lanyard-carrier: {name}"));
    line.write_all(head.as_bytes()).await.unwrap();
    line.write_all(b"\0\0").await.unwrap();
    assert_eq!(Answer::parse(&rest(line).await).status, 408);
    assert!(over(carrier).await);
    page.stop().await;
}

#[tokio::test]
async fn a_carrier_has_one_stream_and_ends_with_it() {
    let mut page = Page::start();
    let (name, carrier) = open(&mut page).await;
    let stream = Stream::open(&page, &name).await;
    let here = ("sec-fetch-site", "same-origin");
    let second = page.ask("GET /carrier", &[("lanyard-carrier", &name), here]).await;
    assert_eq!(second.status, 409, "{second:?}");
    assert!(!carrier.outgoing.is_closed(), "the first one goes on");
    drop(stream);
    assert!(over(carrier).await, "what was under way is lost, so nothing may follow");
    page.stop().await;
}

#[tokio::test]
async fn only_who_knows_the_name_gets_anywhere() {
    let mut page = Page::start();
    let (name, carrier) = open(&mut page).await;
    let other = format!("{:032x}", 1);
    let here = ("sec-fetch-site", "same-origin");
    for wrong in [other.as_str(), "", &name[..31], &name[..30], "zz", &format!("{name}00")] {
        assert_eq!(
            page.ask("GET /carrier", &[("lanyard-carrier", wrong), here]).await.status,
            410,
            "{wrong}"
        );
        assert_eq!(post(&page, wrong, 7, &[b"x"]).await, 410, "{wrong}");
    }
    assert_eq!(page.ask("GET /carrier", &[here]).await.status, 410);
    assert_eq!(
        page.ask("GET /carrier", &[("lanyard-carrier", &name)]).await.status,
        403,
        "no page says that it asks"
    );
    assert_eq!(post(&page, &name, 0, &[b"x"]).await, 204, "and nothing of that hurt it");
    drop(carrier);
    page.stop().await;
}

#[tokio::test]
async fn the_stream_shows_that_the_host_is_there() {
    let (ping, gone) = (Duration::from_millis(100), Duration::from_secs(2));
    let mut page = Page::at_pace(Pace { ping, gone, ..Pace::default() });
    let (name, carrier) = open(&mut page).await;
    let mut stream = Stream::open(&page, &name).await;
    for _ in 0..30 {
        assert_eq!(stream.next().await.unwrap(), b"", "a sign of life, longer than silence would be borne");
    }
    carrier.outgoing.send(b"and a message".to_vec()).await.unwrap();
    while stream.next().await.unwrap() != b"and a message" {}
    drop(stream);
    assert!(over(carrier).await);
    page.stop().await;
}

#[tokio::test]
async fn a_carrier_nobody_uses_is_over() {
    let gone = Duration::from_millis(300);
    let mut page = Page::at_pace(Pace { gone, ..Pace::default() });
    // Before it is opened: its time begins somewhere in between.
    let since = std::time::Instant::now();
    let (name, carrier) = open(&mut page).await;
    assert!(over(carrier).await);
    assert!(since.elapsed() >= gone / 2);
    assert_eq!(post(&page, &name, 0, &[b"x"]).await, 410);
    page.stop().await;
}
