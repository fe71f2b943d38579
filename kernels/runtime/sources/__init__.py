"""What a .cu file says, who compiles it, and the launch of what it declares.

headers         the headers that it includes
macros          its macros
signatures      what its kernels take, read from their declarations
nvrtc           NVIDIA's compiler, which needs no GPU
launch          checks of a launch, and how its arguments reach the driver
"""
