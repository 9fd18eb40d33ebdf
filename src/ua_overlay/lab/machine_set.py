"""All machines of a lab: made together, and reopened by another process."""
from concurrent.futures import ThreadPoolExecutor
from typing import List, Mapping, Optional, Sequence

from ua_overlay.lab import images, leftovers
from ua_overlay.lab.images import Image
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.machine_ssh import LabSsh
from ua_overlay.lab.machines import SERVICE, Bind, Machine
from ua_overlay.lab.topology import Topology
from ua_overlay.protocols import Progress


def image_for(topology: Topology, name: str) -> Image:
    """Return the base system of the host ``name``: robots have an older one than servers."""
    return images.ROBOT if name in [robot.name for robot in topology.robots] else images.SERVER


def machine_names(topology: Topology) -> List[str]:
    """Return the hosts of a topology that are machines: all but routers and the internet."""
    return [item.name for item in topology.ends()]


class MachineSet:
    """The machines of a lab that is up.

    :param binds: directories that each of them sees read-only.
    :param also: names of routers that are machines, too.
    :param lower: name -> lower directories (:func:`images.get_layer`) of machines with more than a base system.
    :ivar machines: by the names of their hosts.
    """

    def __init__(self, lab: Lab, binds: Sequence[Bind] = (), also: Sequence[str] = (),
                 lower: Optional[Mapping[str, str]] = None) -> None:
        self.lab = lab
        self.machines = {name: Machine(lab, name, binds=binds) for name in machine_names(lab.topology) + list(also)}
        self.ssh = LabSsh(lab)
        self.lower = dict(lower or {})

    def __getitem__(self, name: str) -> Machine:
        self.lab.host(name)
        return self.machines[name]

    def up(self, progress: Progress = images.no_progress) -> 'MachineSet':
        """Make and boot every machine, after removing the leftovers of killed labs.

        :raises OverlayError: LAB_IMAGE, LAB_MACHINE; machines that run stay until the lab's `down`.
        """
        leftovers.sweep()
        for name, machine in self.machines.items():
            machine.lower = self.lower.get(name) or images.get(image_for(self.lab.topology, name), progress)
        own = self.ssh.make(list(self.machines))
        for name, machine in self.machines.items():
            machine.make(own[name])
        with progress('Booting {}'.format(', '.join(self.machines))):
            for machine in self.machines.values():
                machine.start()
            with ThreadPoolExecutor(len(self.machines)) as pool:
                list(pool.map(Machine.wait_booted, self.machines.values()))
        return self

    def are_there(self) -> bool:
        """Return whether this lab was made with machines."""
        return any(service == SERVICE for _host, service in self.lab.services())

    def power_off(self) -> None:
        """Shut all machines down in order, at the same time."""
        running = [machine for machine in self.machines.values() if machine.runs()]
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(Machine.power_off, running))
