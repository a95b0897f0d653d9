//! Kernel calls behind safe typed functions: the one fence of this workspace where `unsafe` is at home.
