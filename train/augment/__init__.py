"""Random changes of a batch (`augmentation`), named corruptions, what is no radiograph, and the phantom."""
