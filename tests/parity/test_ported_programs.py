"""Programs written for PyTorch give the same losses and final weights with PyTorch and with tinygen.

Both start from the same weights and draw the same noise.  Also tested: the tool `ported/run.py`, which runs a program
file with only its import lines changed.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from parity.ported.run import SUBSTITUTES, numpy_draws, rewrite

import tinygen

RUN = Path(__file__).parent / "ported" / "run.py"


# the programs; each returns the numbers that it would print, and its networks


def vae(torch, nn, F, optim, data):
    class VAE(nn.Module):
        def __init__(self, hidden=32, latent=4):
            super(VAE, self).__init__()  # noqa: UP008
            self.enc = nn.Linear(64, hidden)
            self.mean, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
            self.dec1, self.dec2 = nn.Linear(latent, hidden), nn.Linear(hidden, 64)

        def encode(self, x):
            h = F.relu(self.enc(x))
            return self.mean(h), self.logvar(h)

        def reparameterize(self, mu, logvar):
            return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)

        def decode(self, z):
            return torch.sigmoid(self.dec2(F.relu(self.dec1(z))))

        def forward(self, x):
            mu, logvar = self.encode(x.view(-1, 64))
            return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    def negative_elbo(y, x, mu, logvar):
        bce = F.binary_cross_entropy(y, x.view(-1, 64), reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    use_gpu = torch.accelerator.is_available() and torch.cuda.is_available()
    device = torch.accelerator.current_accelerator() if use_gpu else torch.device("cpu")
    model = VAE().to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    numbers = []
    for epoch in range(2):
        model.train()
        train_loss = 0
        for x in data.batches:
            x = x.to(device)
            optimizer.zero_grad()
            loss = negative_elbo(model(x)[0], x, *model(x)[1:])
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
            numbers.append(loss.item() / len(x))
        model.eval()
        with torch.no_grad():
            x = data.batches[epoch].to(device)
            y, mu, logvar = model(x)
            numbers += [train_loss, negative_elbo(y, x, mu, logvar).item()]
            n = min(x.size(0), 4)
            pictures = torch.cat([x[:n], y.view(x.size(0), 1, 8, 8)[:n]])
            numbers.append(pictures.cpu().mean().item())
    return numbers, [model]


def conv_gan(torch, nn, F, optim, data):
    nz, width = 6, 4

    def weights_init(m):
        classname = m.__class__.__name__
        if classname.find("Conv") != -1:
            torch.nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif classname.find("BatchNorm") != -1:
            m.weight.data.normal_(1.0, 0.02)
            nn.init.constant_(m.bias.data, 0)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(
                nn.ConvTranspose2d(nz, width * 2, 2, 1, 0, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.ReLU(True),
                nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(True),
                nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
                nn.Tanh(),
            )

        def forward(self, input):
            return self.main(input)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(1, width, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width * 2, 1, 2, 1, 0, bias=False),
                nn.Sigmoid(),
            )

        def forward(self, input):
            if (input.is_cuda or input.is_xpu) and torch.cuda.device_count() > 1:
                raise RuntimeError("one device is enough")
            return self.main(input).view(-1, 1).squeeze(1)

    device = torch.device("cpu")
    netG, netD = Generator().to(device), Discriminator().to(device)
    netG.apply(weights_init)
    netD.apply(weights_init)
    criterion = nn.BCELoss()
    fixed_noise = torch.randn(5, nz, 1, 1, device=device)
    real_label, fake_label = 0.9, 0.0
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    numbers = []
    for real in data.batches:
        netD.zero_grad()
        label = torch.full((real.size(0),), real_label, dtype=real.dtype, device=device)
        output = netD(real)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()
        fake = netG(torch.randn(real.size(0), nz, 1, 1, device=device))
        label.fill_(fake_label)
        output = netD(fake.detach())
        errD_fake = criterion(output, label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        optimizerD.step()

        netG.zero_grad()
        label.fill_(real_label)
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()
        numbers += [errD.item(), errG.item(), D_x, output.mean().item()]

    torch.save(netG.state_dict(), f"{data.folder}/netG.pth")
    again = Generator()
    again.load_state_dict(torch.load(f"{data.folder}/netG.pth"))
    with torch.no_grad():
        numbers += [net.eval()(fixed_noise).pow(2).mean().item() for net in (netG, again)]
    assert numbers[-1] == numbers[-2]
    return numbers, [netG, netD]


def wgan_gp(torch, nn, F, optim, data):
    from_torch = torch.autograd
    Variable, autograd = from_torch.Variable, from_torch
    image, latent, n_critic, weight = (1, 8, 8), 6, 2, 10
    wide = torch.get_default_dtype() == torch.float64
    Tensor = torch.DoubleTensor if wide else torch.FloatTensor

    class Generator(nn.Module):
        def __init__(self):
            super(Generator, self).__init__()  # noqa: UP008

            def block(in_feat, out_feat, normalize=True):
                layers = [nn.Linear(in_feat, out_feat)]
                if normalize:
                    layers.append(nn.BatchNorm1d(out_feat, 0.8))
                layers.append(nn.LeakyReLU(0.2, inplace=True))
                return layers

            self.model = nn.Sequential(
                *block(latent, 16, normalize=False),
                *block(16, 24),
                nn.Linear(24, int(np.prod(image))),
                nn.Tanh(),
            )

        def forward(self, z):
            img = self.model(z)
            return img.view(img.shape[0], *image)

    class Critic(nn.Module):
        def __init__(self):
            super(Critic, self).__init__()  # noqa: UP008
            self.model = nn.Sequential(nn.Linear(64, 24), nn.LeakyReLU(0.2, inplace=True), nn.Linear(24, 1))

        def forward(self, img):
            return self.model(img.view(img.shape[0], -1))

    generator, critic = Generator(), Critic()
    optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.999))

    def gradient_penalty(D, real, fake):
        alpha = Tensor(data.rng.random((real.size(0), 1, 1, 1)))
        between = (alpha * real + ((1 - alpha) * fake)).requires_grad_(True)
        d_between = D(between)
        ones = Variable(Tensor(real.shape[0], 1).fill_(1.0), requires_grad=False)
        gradients = autograd.grad(
            outputs=d_between,
            inputs=between,
            grad_outputs=ones,
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        gradients = gradients.view(gradients.size(0), -1)
        return ((gradients.norm(2, dim=1) - 1) ** 2).mean()

    numbers = []
    for i, imgs in enumerate(data.batches):
        real = Variable(imgs.type(Tensor))
        optimizer_D.zero_grad()
        z = Variable(Tensor(data.rng.normal(0, 1, (imgs.shape[0], latent))))
        fake = generator(z)
        penalty = gradient_penalty(critic, real.data, fake.data)
        d_loss = -torch.mean(critic(real)) + torch.mean(critic(fake)) + weight * penalty
        d_loss.backward()
        optimizer_D.step()
        numbers += [d_loss.item(), penalty.item()]
        optimizer_G.zero_grad()
        if i % n_critic == 0:
            g_loss = -torch.mean(critic(generator(z)))
            g_loss.backward()
            optimizer_G.step()
            numbers.append(g_loss.item())
    return numbers, [generator, critic]


# both libraries


def outcome(library, program, dtype, monkeypatch, folder):
    """-> the program's numbers, and the weights and buffers of its networks by name"""
    with monkeypatch.context() as patch:
        for owner, name, function in numpy_draws(library, seed=1):
            patch.setattr(owner, name, function)
        before = library.get_default_dtype()
        library.set_default_dtype(getattr(library, dtype))
        try:
            rng = np.random.default_rng(2)
            batches = [library.tensor(rng.uniform(size=(5, 1, 8, 8)).tolist()) for _ in range(6)]
            data = SimpleNamespace(batches=batches, rng=rng, folder=folder)
            numbers, nets = program(library, library.nn, library.nn.functional, library.optim, data)
        finally:
            library.set_default_dtype(before)
    states = [(f"{i}.{k}", v.numpy()) for i, net in enumerate(nets) for k, v in net.state_dict().items()]
    return np.array(numbers), dict(states)


@pytest.mark.parametrize("program", [vae, conv_gan, wgan_gp], ids=lambda p: p.__name__)
def test_the_same_program_on_both(program, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    ours, our_state = outcome(tinygen, program, "float64", monkeypatch, tmp_path)
    theirs, their_state = outcome(torch, program, "float64", monkeypatch, tmp_path)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    assert len(set(ours)) > 12  # every step gave a different loss
    assert list(our_state) == list(their_state)
    for name, value in our_state.items():
        assert value.dtype == ("int64" if "num_batches" in name else "float64")
        np.testing.assert_allclose(value, their_state[name], rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("program", [vae, conv_gan, wgan_gp], ids=lambda p: p.__name__)
def test_in_float32_it_is_as_near_to_float64(program, monkeypatch, tmp_path):
    """At most as far from float64 as PyTorch's float32 run.

    Adam divides by the size of the gradient, so that the rounding error of one that nearly cancels, as that of a bias
    before BatchNorm, may become a whole step of 2e-3.
    """
    torch = pytest.importorskip("torch")
    ours, our_state = outcome(tinygen, program, "float32", monkeypatch, tmp_path)
    theirs, their_state = outcome(torch, program, "float32", monkeypatch, tmp_path)
    _, exact = outcome(torch, program, "float64", monkeypatch, tmp_path)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    far = lambda state, name: np.abs(state[name] - exact[name]).max()
    for name, value in our_state.items():
        assert value.dtype == their_state[name].dtype == ("int64" if "num_batches" in name else "float32")
        assert far(our_state, name) <= max(1e-5, 3 * far(their_state, name)), name


# the tool

FORMS = {
    "import torch": "import tinygen as torch",
    "import torch as t": "import tinygen as t",
    "import torch.nn": "import tinygen as torch",
    "import torch.nn as nn": "import tinygen.nn as nn",
    "import torch.nn.functional as F": "import tinygen.nn.functional as F",
    "import torch.utils.data": "import tinygen as torch",
    "import torch.backends.cudnn as cudnn": "import standins.cudnn as cudnn",
    "import torch.nn.parallel": "import tinygen as torch",
    "import torchvision": "import standins as torchvision",
    "import torchvision.transforms as T": "import standins.transforms as T",
    "import numpy as np, torch": "import numpy as np; import tinygen as torch",
    "import os.path, torch.optim as o": "import os.path; import tinygen.optim as o",
    "from torch import nn, optim": "from tinygen import nn, optim",
    "from torch.nn import functional as F": "from tinygen.nn import functional as F",
    "from torch.autograd import Variable": "from tinygen.autograd import Variable",
    "from torch.utils import data": "from standins import data",
    "from torch.utils.data import DataLoader": "from standins.data import DataLoader",
    "from torchvision import datasets, transforms": "from standins import datasets, transforms",
    "from torchvision.utils import save_image": "from standins.utils import save_image",
}


@pytest.mark.parametrize("before", FORMS)
def test_an_import_line(before):
    text, changes = rewrite(f"{before}\nx = 1\n", SUBSTITUTES["tinygen"])
    assert text == f"{FORMS[before]}\nx = 1\n"
    assert changes == [(1, before, FORMS[before])]


@pytest.mark.parametrize(
    "code",
    [
        "import os, sys\n",
        "import torchfoo\n",
        "from . import torch\n",
        "x = 'import torch'  # import torch\n",
        "torch.nn\n",
    ],
)
def test_other_lines_stay(code):
    assert rewrite(code, SUBSTITUTES["tinygen"]) == (code, [])


def test_line_numbers_stay():
    code = textwrap.dedent(
        '''
        """import torch"""
        import os; import torch; é = "ü"; from torch import nn  # both
        from torch.nn import (
            Linear,  # one
            Tanh as T,
        )
        def f():
            try:
                from torch.optim import (Adam,
                    SGD); x = 1
            except ImportError: import torchvision
            return torch.ones(1)
        '''
    )
    text, changes = rewrite(code, SUBSTITUTES["tinygen"])
    assert len(text.splitlines()) == len(code.splitlines())
    assert [line for line, _, _ in changes] == [3, 3, 4, 10, 12]
    lines = text.splitlines()
    assert lines[2] == 'import os; import tinygen as torch; é = "ü"; from tinygen import nn  # both'
    assert lines[3:7] == ["from tinygen.nn import Linear, Tanh as T", "", "", ""]
    assert lines[9] == "        from tinygen.optim import Adam, SGD; x = 1"
    assert lines[11] == "    except ImportError: import standins as torchvision"
    compile(text, "<ported>", "exec")


PROGRAM = """
import argparse
import torch
import torch.utils.data
import torch.backends.cudnn as cudnn
from torch import (
    nn,
    optim,
)
from torch.autograd import Variable
from torch.nn import functional as F
from torchvision import datasets, transforms
from torchvision.utils import save_image

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=2)
args = parser.parse_args()
cudnn.benchmark = True
torch.manual_seed(3)
steps = transforms.Compose([transforms.Resize(14), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
loader = torch.utils.data.DataLoader(
    datasets.MNIST("nowhere", train=False, download=True, transform=steps), batch_size=args.batch_size, shuffle=True
)
net = nn.Sequential(nn.Flatten(), nn.Linear(196, 196), nn.Tanh())
optimizer = optim.Adam(net.parameters(), lr=1e-3)
print("batches", len(loader), "of", len(loader.dataset))
for images, labels in loader:
    assert images.shape[1:] == (1, 14, 14) and labels.dtype == torch.int64, (images.shape, labels.dtype)
    noisy = Variable(images) + 0.1 * torch.randn_like(images)
    loss = F.mse_loss(net(noisy), images.view(images.size(0), -1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("loss %.3f" % loss.item(), labels.sum().item())
save_image(net(images).view(-1, 1, 14, 14), "pictures/last.png", nrow=2, normalize=True)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("ported") / "program.py"
    path.write_text(PROGRAM)
    return path


def tool(*arguments, cwd):
    command = [sys.executable, str(RUN), "--data", "glyphs", "--items", "7", *map(str, arguments)]
    env = os.environ | {
        "PYTHONPATH": str(Path(tinygen.__file__).parents[1])
    }  # import this tinygen, wherever it is
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_program_runs_on_tinygen(program, tmp_path):
    out = tool("--folder", "a", "--log", "log.json", program, "--batch-size", "3", cwd=tmp_path).splitlines()
    assert "program.py:3: import torch  ->  import tinygen as torch" in out
    assert "program.py:6: from torch import ( nn, optim, )  ->  from tinygen import nn, optim" in out
    assert out[8] == "batches 3 of 7" and sum(line.startswith("loss") for line in out) == 3
    assert (tmp_path / "a/pictures/last.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((tmp_path / "log.json").read_text())["numbers"]
    assert len(numbers) == 6 and all(
        f"loss {loss:.3f} {labels}" in out for loss, labels in zip(numbers[::2], numbers[1::2])
    )


def test_a_program_on_both_libraries_lined_up(program, tmp_path):
    pytest.importorskip("torch")
    lines = tool("--compare", "6", "--float64", program, "--batch-size", "2", cwd=tmp_path).splitlines()
    assert len(lines) == 10 and lines[-1].startswith("largest relative difference of 6 numbers: ")
    assert float(lines[-1].split()[-1]) < 1e-12
    assert len({line.split()[1] for line in lines[1:7:2]}) == 3  # three different losses
