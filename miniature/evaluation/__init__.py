"""The examination of the miniature; nothing in here is used to train it or to choose among its weights."""
