//! Rank 0 gives the id to the others over TCP. NCCL can do this itself, but then a rank that does not come is not named.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::place::Place;
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// What both sides begin with.
const MAGIC: [u8; 8] = *b"chainNCC";
/// The magic, the number of processes, and the rank.
type Hello = [u8; 24];
/// The time for which rank 0 listens to one that has connected: what is not a process of the job may say nothing.
const GREETING: Duration = Duration::from_secs(2);
/// The time between attempts.
const PAUSE: Duration = Duration::from_millis(50);

fn hello(size: usize, rank: usize) -> Hello {
    let mut hello = [0; 24];
    hello[..8].copy_from_slice(&MAGIC);
    hello[8..16].copy_from_slice(&(size as u64).to_le_bytes());
    hello[16..].copy_from_slice(&(rank as u64).to_le_bytes());
    hello
}

/// Gives the id to all other processes, when all have come.
pub(super) fn give(id: [u8; 128], size: usize, address: &str, timeout: Duration) -> Result<()> {
    let listener = listen(address)?;
    let end = Instant::now() + timeout;
    let mut others: Vec<Option<TcpStream>> = (1..size).map(|_| None).collect();
    while others.iter().any(Option::is_none) {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) if Instant::now() < end => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(_) => return Err(absent(&others, address, timeout)),
        };
        let mut said: Hello = [0; 24];
        let heard = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(GREETING)))
            .and_then(|()| stream.read_exact(&mut said));
        if heard.is_err() || said[..8] != MAGIC {
            continue;
        }
        let [their_size, rank] = [8, 16].map(|at| u64::from_le_bytes(std::array::from_fn(|i| said[at + i])) as usize);
        if their_size != size {
            return Err(DistributedError::Unavailable(format!(
                "rank {rank} says that there are {their_size} processes, rank 0 says {size}\n  \
                 rule: one job at the address {address}"
            )));
        }
        match others.get_mut(rank.wrapping_sub(1)) {
            Some(place @ None) => *place = Some(stream),
            _ => {
                return Err(DistributedError::Unavailable(format!(
                    "two processes say that they are rank {rank}\n  rule: one job at the address {address}"
                )));
            }
        }
    }
    for (rank, stream) in (1..).zip(others.iter_mut().flatten()) {
        let sent = stream.write_all(&MAGIC).and_then(|()| stream.write_all(&id));
        sent.map_err(|error| DistributedError::NoAnswer(format!("rank {rank} has gone after it came: {error}")))?;
    }
    Ok(())
}

fn listen(address: &str) -> Result<TcpListener> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| DistributedError::Unavailable(format!("'{address}' is not a host and a port")))?;
    // On all of its addresses: the name of the host can stand for one that other machines do not reach.
    let listening =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
    listening.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)).map_err(|error| {
        DistributedError::Unavailable(format!(
            "rank 0 cannot listen at port {port}: {error}\n  rule: set MASTER_PORT so that the port after it is free"
        ))
    })
}

fn absent(others: &[Option<TcpStream>], address: &str, timeout: Duration) -> DistributedError {
    let ranks: Vec<String> =
        (1..).zip(others).filter(|(_, other)| other.is_none()).map(|(rank, _)| rank.to_string()).collect();
    let (noun, ranks) = (if ranks.len() == 1 { "rank" } else { "ranks" }, ranks.join(", "));
    DistributedError::NoAnswer(format!(
        "{noun} {ranks} of {} did not come to rank 0 at {address} within {timeout:?}",
        others.len() + 1
    ))
}

/// The id from rank 0.
pub(super) fn ask(place: Place, address: &str, timeout: Duration) -> Result<[u8; 128]> {
    let end = Instant::now() + timeout;
    let mut stream = loop {
        match connect(address) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < end => std::thread::sleep(PAUSE),
            Err(error) => {
                return Err(DistributedError::NoAnswer(format!(
                    "rank {} cannot connect to rank 0 at {address} within {timeout:?}: {error}",
                    place.rank
                )));
            }
        }
    };
    // Rank 0 can have begun to wait later than this process, which waits a little longer so as to hear what became of it.
    let (mut magic, mut id) = ([0; 8], [0; 128]);
    let heard = stream
        .set_read_timeout(Some(timeout + GREETING))
        .and_then(|()| stream.write_all(&hello(place.size, place.rank)))
        .and_then(|()| stream.read_exact(&mut magic))
        .and_then(|()| stream.read_exact(&mut id));
    let why = match heard {
        Ok(()) if magic == MAGIC => return Ok(id),
        Ok(()) => "what answers there is no process of this program".into(),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => "it ended, or gave up waiting for other ranks".into(),
        Err(error) => error.to_string(),
    };
    Err(DistributedError::NoAnswer(format!("rank 0 at {address} gave no id to rank {}: {why}", place.rank)))
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, GREETING) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(600);

    /// An address at which nothing listens.
    fn address() -> String {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port").port();
        format!("127.0.0.1:{port}")
    }

    fn of(rank: usize, size: usize) -> Place {
        Place { rank, size, local: (rank, size) }
    }

    #[test]
    fn all_get_the_id_whoever_comes_first() {
        let (address, id) = (address(), std::array::from_fn(|i| i as u8));
        let limit = Duration::from_secs(20);
        std::thread::scope(|scope| {
            let address = &address;
            let others: Vec<_> = [3, 1, 2].map(|rank| scope.spawn(move || ask(of(rank, 4), address, limit))).into();
            std::thread::sleep(2 * PAUSE);
            // Something else that connects is no process of the job.
            let stray = scope.spawn(move || connect(address).and_then(|mut stray| stray.write_all(&[b'x'; 24])));
            give(id, 4, address, limit).expect("all come");
            for other in others {
                assert_eq!(other.join().expect("no panic").expect("rank 0 answers"), id);
            }
            drop(stray.join());
        });
    }

    #[test]
    fn ranks_that_do_not_come_are_named() {
        let address = address();
        std::thread::scope(|scope| {
            let one = scope.spawn(|| ask(of(2, 4), &address, 4 * TIMEOUT));
            let error = give([0; 128], 4, &address, TIMEOUT).expect_err("two are missing").to_string();
            assert!(error.contains("ranks 1, 3 of 4 did not come to rank 0") && error.contains("600ms"), "{error}");
            let error = one.join().expect("no panic").expect_err("there is no id").to_string();
            assert!(error.contains("gave no id to rank 2: it ended, or gave up waiting for other ranks"), "{error}");
        });
        let error = ask(of(1, 2), &address, TIMEOUT).expect_err("nobody listens").to_string();
        assert!(error.contains("rank 1 cannot connect to rank 0"), "{error}");
    }

    #[test]
    fn processes_of_another_job_are_refused() {
        for (place, text) in [(of(1, 3), "rank 1 says that there are 3 processes"), (of(0, 2), "that they are rank 0")]
        {
            let address = address();
            std::thread::scope(|scope| {
                scope.spawn(|| ask(place, &address, 4 * TIMEOUT).expect_err("there is no id"));
                let error = give([0; 128], 2, &address, 4 * TIMEOUT).expect_err("it is of another job").to_string();
                assert!(error.contains(text), "{error}");
            });
        }
    }
}
