import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flashdreams.client import Client
from flashdreams_serve.bench.server_process import ServerProcess, running_server

TOKEN = "a-token-of-the-tests-only"
SESSIONS = 2


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> ServerProcess:
    """A real server of pocket-racer with a token and room for two sessions."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN)
    words = ["pocket-racer", "--token-file", f"{folder}/token", "--save-dir", f"{folder}/saved"]
    with running_server([*words, "--sessions", str(SESSIONS), "--grace", "5"]) as server:
        server.wait_ready()
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a certificate for 127.0.0.1 that signs itself; its key lies beside it, as ``.key``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
    return path


@pytest.fixture(scope="session")
def tls_url(certificate, tmp_path_factory):
    """Where a real server with that certificate listens."""
    saved = tmp_path_factory.mktemp("saved")
    words = ["--tls-certificate", str(certificate), "--tls-key", str(certificate.with_suffix(".key"))]
    with running_server(["pocket-racer", *words, "--sessions", "1", "--save-dir", str(saved)]) as server:
        yield server.url


@pytest.fixture
def token():
    return TOKEN


@pytest.fixture
def places():
    """Sessions that dream at once."""
    return SESSIONS


@pytest.fixture
def client(server):
    with Client(server.url, TOKEN) as client:
        yield client
