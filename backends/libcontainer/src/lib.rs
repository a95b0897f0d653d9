//! Containers made by the libcontainer crate, driven through its `ContainerArgs`.
