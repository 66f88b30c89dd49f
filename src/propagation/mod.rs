//! Context propagation: parsing and printing of carriers.
