"""`ua-overlay policy cgnat-lans`. With a robot on such a network: test/lab/test_two_hosts.py."""
import pytest

from ua_overlay.cli import main, policy_cgnat


@pytest.mark.parametrize('changed, said', [(True, 'Robots accept 100.64.0.0/10 from their own networks.'),
                                           (False, 'networks; nothing changed.')])
def test_the_switch_is_set(monkeypatch, capsys, changed, said):
    asked = []

    class Admin:
        def set_cgnat_lans(self, on):
            asked.append(on)
            return changed

    monkeypatch.setattr(policy_cgnat, 'load_site', lambda args: None)
    monkeypatch.setattr(policy_cgnat, 'make_admin', lambda site: Admin())
    assert main(['policy', 'cgnat-lans', 'on']) == 0 and said in capsys.readouterr().out
    assert main(['policy', 'cgnat-lans', 'off']) == 0 and 'Robots drop' in capsys.readouterr().out
    assert asked == [True, False]
    with pytest.raises(SystemExit):
        main(['policy', 'cgnat-lans', 'maybe'])
