//! What happened, typed: the contract between those who work and those who report.
