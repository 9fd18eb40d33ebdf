"""The agent without tailscaled. With one: test/lab/test_names.py and test_prepare_systemd.py."""
import threading

from ua_overlay.agent import agent
from ua_overlay.firewall import egress


def test_the_duties_end_when_they_are_stopped(tmp_path, monkeypatch):
    """Without tailscaled the operator's loop reports that; the others wait for it silently."""
    monkeypatch.setattr(agent.egress, 'ROBOT', egress.ROBOT._replace(rules=str(tmp_path / 'none.nft')))
    said, stop = [], threading.Event()

    def say(line):
        said.append(line)
        stop.set()

    duties = agent.duties('robot', str(tmp_path / 'none.sock'), stop, say, str(tmp_path / 'none.pem'))
    assert sorted(duties) == ['egress', 'home', 'names', 'operator']
    threads = [threading.Thread(target=loop, daemon=True) for loop in duties.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(said) == 1 and 'Trying again' in said[0]


def test_the_agent_ends_with_the_operator_loop():
    began = {name: threading.Event() for name in ('names', 'egress')}
    forever = threading.Event()

    def loop(name):
        began[name].set()
        forever.wait(60)

    def operator():
        assert all(event.wait(20) for event in began.values())

    agent.run({'names': lambda: loop('names'), 'egress': lambda: loop('egress'), 'operator': operator})
    assert {thread.name for thread in threading.enumerate() if thread.daemon} >= set(began)
    forever.set()
