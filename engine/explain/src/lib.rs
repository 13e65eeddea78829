//! Why a Service does not work, in words: diagnosis over a snapshot
