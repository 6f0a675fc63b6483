"""A GPU that is none: the CPU computes, but its tensors are on another device and refuse what a GPU's refuse.

They can't be handed to NumPy, nor computed with together with tensors of the CPU; and how often a number is read from
them is counted, because each time a GPU would be waited for.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default}  # between devices
INDEXES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}  # an index may be on the CPU


class GpuTensor(torch.Tensor):
    """`held`: the tensor on the CPU that it stands for."""

    @staticmethod
    def __new__(cls, held, device):
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, held.size(), device=device, **layout)
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} of a GPU's tensor outside of FakeGpu")

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self):
        return self.cpu().tolist()

    def new_tensor(self, data, dtype=None):
        return torch.tensor(data, dtype=dtype or self.dtype).to(self.device)

    def __repr__(self):
        return f"GpuTensor({self.held})"


class FakeGpu(TorchDispatchMode):
    """Within it, what is moved to `FakeGpu.device` is there. `reads`: numbers that were read from the device."""

    device = torch.device("meta")

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode what is made of simpler operations arrives whole
                return func.decompose(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, GpuTensor)]
        here = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor) and tensor.dim() > 0]
        if there and here and func not in MOVES | INDEXES:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device")
        if func is aten._local_scalar_dense.default and there:
            self.reads += 1
        target = kwargs.get("device")
        on_gpu = bool(there) if target is None else torch.device(target).type == self.device.type
        if func is aten.copy_.default:
            on_gpu = isinstance(args[0], GpuTensor)
        if target is not None:
            kwargs = kwargs | {"device": "cpu"}
        held = {id(tensor.held): tensor for tensor in there}
        result = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))

        def wrap(x):
            if not isinstance(x, torch.Tensor):
                return x
            return held.get(id(x)) if id(x) in held else GpuTensor(x, self.device) if on_gpu else x

        return tree_map(wrap, result)


def unwrap(x):
    return x.held if isinstance(x, GpuTensor) else x
