//! Disposable real hosts on this machine.
