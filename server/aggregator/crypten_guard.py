"""CrypTen 0.4.1 on torch 2.13, made fit for secrets; with `party` the only importer of both.

What CrypTen does by default and what is done about it here:

* It imports a module of torch that has another name now: registered under the old one.
* Its generators are Mersenne twisters with 64-bit seeds, sent in the clear: whoever sees 312 words
  knows all others. Every function that draws is replaced by AES-256-CTR keystreams (`Keystream`),
  and a generator of torch's is refused.
* Its default provider of multiplication triples lets the first party see the operands: refused
  outside a simulation that is declared insecure.
* It passes integers through float32 unless told otherwise: shares enter by `shared`, as they are.
"""

import sys
from importlib import import_module
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

sys.modules["torch.onnx._internal.registration"] = import_module(
    "torch.onnx._internal.torchscript_exporter.registration"
)

import crypten  # noqa: E402 - needs the line above
import crypten.mpc  # noqa: E402
import torch  # noqa: E402
from crypten.communicator import DistributedCommunicator  # noqa: E402
from crypten.mpc.primitives import ArithmeticSharedTensor  # noqa: E402

__all__ = [
    "GENERATORS",
    "DistributedCommunicator",
    "Integers",
    "Keystream",
    "RefusedProvider",
    "crypten_module",
    "install",
    "opened",
    "random_bits",
    "ring_elements",
    "seed_generators",
    "shared",
    "shared_number",
]

_RING_BITS = 64
_WORD_BYTES = 8
_DRAWING = (  # modules that hold the two functions under their own names
    "crypten.common.rng",
    "crypten.mpc.primitives.arithmetic",
    "crypten.mpc.primitives.binary",
    "crypten.mpc.provider.tfp_provider",
    "crypten.mpc.provider.ttp_provider",
)
CPU = torch.device("cpu")
GENERATORS = frozenset({"prev", "next", "local", "global"})
Integers = NDArray[np.int64]


class Keystream:
    """AES-256-CTR where CrypTen expects a generator."""

    device = CPU

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(AES256(key), CTR(bytes(16))).encryptor()

    def words(self, count: int) -> torch.Tensor:
        """Return the next `count` 64-bit words, shape (count,)."""
        octets = self._encryptor.update(bytes(_WORD_BYTES * count))
        return torch.from_numpy(np.frombuffer(octets, "<i8").copy())


class RefusedProvider:
    """Stands where a provider would deal multiplication triples that someone can see through."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked is refused
        raise PermissionError(
            f"CrypTen asked for {name} of a provider that lets one party see the operands. "
            "Only a simulation that says --insecure-simulation may use it."
        )


def install(*, insecure_simulation: bool = False) -> None:
    """Replace CrypTen's generators, and its default provider unless it is a simulation."""
    for module in map(import_module, _DRAWING):
        for name, drawing in (
            ("generate_random_ring_element", ring_elements),
            ("generate_kbit_random_tensor", random_bits),
        ):
            if hasattr(module, name):
                setattr(module, name, drawing)
    if not insecure_simulation:
        providers = getattr(crypten.mpc, "__SUPPORTED_PROVIDERS")
        providers.update(TFP=RefusedProvider(), HE=RefusedProvider())
        crypten.cfg.mpc.provider = "TTP"


def seed_generators(keys: dict[str, bytes]) -> None:
    """Give CrypTen the keys of its generators: "prev", "next", "local" and "global"."""
    for name, key in keys.items():
        crypten.generators[name][CPU] = Keystream(key)


def ring_elements(
    size: Any,  # noqa: ANN401 - an int, a tuple or a torch.Size, as CrypTen pleases
    ring_size: int = 2**_RING_BITS,
    generator: object = None,
    **_: object,
) -> torch.Tensor:
    """Return uniform elements of Z_2^64, of a shape, in place of CrypTen's."""
    if ring_size != 2**_RING_BITS:
        raise ValueError(f"expected the ring of 2^64, found {ring_size}")
    return _drawn(size, generator)


def random_bits(
    size: Any,  # noqa: ANN401 - as above
    bitlength: int | None = None,
    generator: object = None,
    **_: object,
) -> torch.Tensor:
    """Return uniform integers of so many bits, of a shape, in place of CrypTen's."""
    words = _drawn(size, generator)
    if bitlength is None or bitlength == _RING_BITS:
        return words
    return torch.bitwise_and(words, 2**bitlength - 1)


def shared(share: Integers) -> ArithmeticSharedTensor:
    """Return CrypTen's tensor of a share, bit for bit; no float is on this way.

    Raises:
        TypeError: the share does not hold 64-bit integers.
    """
    if share.dtype != np.int64:
        raise TypeError(f"expected 64-bit integers, found {share.dtype}")
    return ArithmeticSharedTensor.from_shares(torch.from_numpy(share.copy()), precision=0)


def shared_number(share: Integers) -> Any:  # noqa: ANN401 - CrypTen has no types
    """Return CrypTen's tensor of a share, to compute with and not only to open."""
    return crypten.mpc.MPCTensor.from_shares(shared(share).share, precision=0)


def crypten_module(name: str) -> Any:  # noqa: ANN401 - CrypTen has no types
    """Return a module of CrypTen, which this one has made importable."""
    return import_module(name)


def opened(tensor: ArithmeticSharedTensor) -> Integers:
    """Return the sum of all parties' shares modulo 2^64; all parties learn it."""
    revealed: Integers = tensor.reveal().numpy()
    return revealed


def _drawn(size: Any, generator: object) -> torch.Tensor:  # noqa: ANN401 - as above
    source = crypten.generators["local"][CPU] if generator is None else generator
    if not isinstance(source, Keystream):
        raise PermissionError("CrypTen asked for randomness of a generator that can be predicted")
    shape = torch.Size([size] if isinstance(size, int) else size)
    return source.words(shape.numel()).reshape(shape)
