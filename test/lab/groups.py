"""Which lab tests run in one pytest, because they share a lab, a site or a base system; each group runs beside others.

A file belongs to one group (test/unit/project/test_run_tests.py). Their order is the record's (dev/run_tests.py).
"""

GROUPS = {
    'main-job': ['test_main_job.py'],
    'proof': ['test_leaks.py'],
    'team': ['test_team.py'],
    'ros': ['test_ros.py', 'test_robot_moves.py', 'test_names.py'],
    'ros-load': ['test_ros_load.py'],
    'doctor': ['test_doctor.py'],
    'guard': ['test_guard.py', 'test_manage_daemon.py'],
    'refusals': ['test_join_refusals.py'],
    'proxy': ['test_proxy.py'],
    'two-hosts': ['test_two_hosts.py'],
    'encryption': ['test_encryption.py'],
    'measure': ['test_measure_run.py', 'test_measure_video.py'],
    'campus': ['test_campus.py'],
    'machines-site': ['test_machines_site.py'],
    'machines-changes': ['test_machines_changes.py'],
    'machines-unit': ['test_machines_unit_tests.py'],
    'machines-relay': ['test_machines_relay.py'],
    'machines-proxy': ['test_machines_proxy.py'],
    'measure-machines': ['test_measure_machines.py'],
    'service': ['test_service.py'],
    'server-service': ['test_server_service.py'],
    'prepare': ['test_prepare_systemd.py'],
    'playbook': ['test_playbook_inventory.py'],
    'lab': ['test_lab_lifecycle.py', 'test_lab_links.py', 'test_lab_machines.py'],
    'lab-hosts': ['test_lab_cli.py', 'test_lab_running_control.py', 'test_lab_running_hosts.py',
                  'test_lab_running_network.py'],
    'localapi': ['test_localapi.py', 'test_localapi_watcher.py', 'test_tailscale_daemon.py'],
    'policy': ['test_policy_real.py', 'test_invitations_real.py'],
    'relays': ['test_relays_loopback.py'],
    'site': ['test_site.py', 'test_site_server.py', 'test_imported_certificate.py'],
    'site-life': ['test_site_life.py'],
    'trust': ['test_trust_real.py', 'test_team_roscore.py'],
}
