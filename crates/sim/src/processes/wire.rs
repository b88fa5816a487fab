//! A bad wire between two processes: passes bytes on, late, in stutters, or not at all. One thread per direction of a
//! connection; the other end sees what it would see of a real bad line: silence, delay, broken connections.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes passed on at once.
const CHUNK: usize = 16 << 10;
/// Chunks on the way in one direction.
const ON_THE_WAY: usize = 4_096;
/// How often a sleeping thread looks whether the wire still exists.
const PERIOD: Duration = Duration::from_millis(20);
/// What a lost packet costs: the sender's patience until it sends again.
const RESEND: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// Both directions are dead, and connections break.
    cut: AtomicBool,
    /// Bytes from the caller are held back; connections stay.
    mute: AtomicBool,
    /// Milliseconds that every byte takes.
    delay: AtomicU64,
    /// How many of a hundred chunks are lost and sent again.
    loss: AtomicU32,
    /// Raised by each change that breaks connections.
    gone: AtomicBool,
    /// Makes the losses.
    dice: AtomicU64,
}

impl State {
    fn lost(&self) -> bool {
        let n = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) % 100 < u64::from(self.loss.load(Ordering::Relaxed))
    }
}

/// A listener that stands for a far one.
pub struct Wire {
    state: Arc<State>,
    address: SocketAddr,
}

impl Wire {
    /// A good wire to `target`, under an address of its own on this machine.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn to(target: SocketAddr, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { dice: AtomicU64::new(seed), ..State::default() });
        let shared = state.clone();
        thread::spawn(move || accept(&listener, target, &shared));
        Ok(Self { state, address })
    }

    /// Where to call.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks what is connected and refuses what comes, or heals.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::Relaxed);
    }

    /// Holds back what the calling side says, or lets it all through again.
    pub fn mute(&self, mute: bool) {
        self.state.mute.store(mute, Ordering::Relaxed);
    }

    /// Every byte takes so long.
    pub fn delay(&self, delay: Duration) {
        self.state.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// So many of a hundred chunks have to be sent again.
    pub fn loss(&self, percent: u32) {
        self.state.loss.store(percent.min(99), Ordering::Relaxed);
    }

    /// A good wire again.
    pub fn heal(&self) {
        self.cut(false);
        self.mute(false);
        self.delay(Duration::ZERO);
        self.loss(0);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.gone.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, state: &Arc<State>) {
    while !state.gone.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((caller, _)) if !state.cut.load(Ordering::Relaxed) => {
                let state = state.clone();
                thread::spawn(move || join(caller, target, &state));
            }
            // Refused, or nobody there.
            Ok(_) => {}
            Err(_) => thread::sleep(PERIOD),
        }
    }
}

fn join(caller: TcpStream, target: SocketAddr, state: &Arc<State>) {
    let Ok(far) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else { return };
    let both = caller.try_clone().and_then(|c| Ok((c, far.try_clone()?)));
    let Ok((caller_again, far_again)) = both else { return };
    let back = state.clone();
    thread::spawn(move || pump(far_again, caller_again, &back, false));
    pump(caller, far, state, true);
}

/// One direction; `calling` is the one that can be muted.
fn pump(from: TcpStream, to: TcpStream, state: &Arc<State>, calling: bool) {
    let (send, arrivals) = sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let sink = state.clone();
    let writing = thread::spawn(move || deliver(to, &arrivals, &sink, calling));
    let mut from = from;
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(PERIOD));
    let mut chunk = vec![0; CHUNK];
    let mut due = Instant::now();
    while !broken(state) {
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                let mut at = Instant::now() + Duration::from_millis(state.delay.load(Ordering::Relaxed));
                while state.lost() {
                    at += RESEND;
                }
                // Bytes keep their order: what follows a lost packet waits for it.
                due = due.max(at);
                if send.send((due, chunk[..n].to_vec())).is_err() {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    drop(send);
    let _ = writing.join();
}

fn deliver(mut to: TcpStream, arrivals: &Receiver<(Instant, Vec<u8>)>, state: &State, calling: bool) {
    let _ = to.set_nonblocking(false);
    let _ = to.set_write_timeout(Some(Duration::from_secs(10)));
    while let Ok((due, bytes)) = arrivals.recv() {
        while !broken(state) && (Instant::now() < due || (calling && state.mute.load(Ordering::Relaxed))) {
            thread::sleep(
                due.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), PERIOD),
            );
        }
        if broken(state) || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn broken(state: &State) -> bool {
    state.gone.load(Ordering::Relaxed) || state.cut.load(Ordering::Relaxed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A listener that says back what it hears.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut copy = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut copy);
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(words)?;
        let mut heard = vec![0; words.len()];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn a_wire_passes_bytes_on_late_when_it_is_slow_and_not_while_it_is_mute_or_cut() {
        let wire = Wire::to(echo(), 1).unwrap();
        let mut stream = TcpStream::connect(wire.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert_eq!(ask(&mut stream, b"hello").unwrap(), b"hello");

        wire.delay(Duration::from_millis(60));
        let before = Instant::now();
        assert_eq!(ask(&mut stream, b"slow").unwrap(), b"slow");
        assert!(before.elapsed() >= Duration::from_millis(120), "there and back");

        wire.heal();
        wire.mute(true);
        assert!(ask(&mut stream, b"m").is_err(), "nothing comes back");
        wire.mute(false);
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_exact(&mut [0]).unwrap();

        wire.cut(true);
        assert!(ask(&mut stream, b"x").is_err(), "the connection breaks");
        wire.heal();
        let mut again = TcpStream::connect(wire.address()).unwrap();
        again.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(ask(&mut again, b"back").unwrap(), b"back");
    }
}
