//! Makes test images and reads them through native Linux
