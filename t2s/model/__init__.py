"""The base model, the adapter on it, and every form that they are loaded, merged and exported in."""

import logging

# On CPUs with AVX512-BF16, bitsandbytes says at its import that a kernel of Hugging Face's hub is missing. t2s does not
# use it (t2s.model.load).
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
